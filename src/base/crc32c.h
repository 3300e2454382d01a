/* CRC32C, the Castagnoli polynomial, as in RFC 3720: guards what travels against corruption. */
#ifndef PCCL_BASE_CRC32C_H
#define PCCL_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of the bytes, continued from `crc`, which is 0 at the start: crc(crc(0, a), b) is the checksum of a
 * followed by b. Uses the fastest way of this processor. */
uint32_t pccl_crc32c(uint32_t crc, const void *bytes, size_t count);

/* The ways, for tests and measurements. All give the same; a way that the processor or the compiler's target does not
 * have must not be called: ask base/cpu.h. */
uint32_t pccl_crc32c_table(uint32_t crc, const void *bytes, size_t count);
uint32_t pccl_crc32c_sse42(uint32_t crc, const void *bytes, size_t count);
uint32_t pccl_crc32c_vpclmul256(uint32_t crc, const void *bytes, size_t count);
uint32_t pccl_crc32c_vpclmul512(uint32_t crc, const void *bytes, size_t count);

#endif
