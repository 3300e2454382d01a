/* SHA-256, as FIPS 180-4 has it, of short messages. */
#ifndef PCCL_BASE_SHA256_H
#define PCCL_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define PCCL_SHA256_BYTES 32

void pccl_sha256(const void *data, size_t bytes, uint8_t out[PCCL_SHA256_BYTES]);

#endif
