/* CRC32C: choice of the way, and the way for every processor: eight bytes a step from eight tables. */
#include "base/crc32c.h"

#if defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

#include "base/bytes.h"
#include "base/cpu.h"

#define SHORT_BYTES 256 /* too few for vectors to fold them */

/* A CRC is linear, so a table of 256 entries follows from the entries of the eight single bits. */
#define ENTRY_OF(i, b0, b1, b2, b3, b4, b5, b6, b7)                                                      \
	(((i)&1 ? b0 : 0) ^ ((i)&2 ? b1 : 0) ^ ((i)&4 ? b2 : 0) ^ ((i)&8 ? b3 : 0) ^ ((i)&16 ? b4 : 0) ^ \
	 ((i)&32 ? b5 : 0) ^ ((i)&64 ? b6 : 0) ^ ((i)&128 ? b7 : 0))
#define ENTRY(i, ...) ENTRY_OF(i, __VA_ARGS__)
#define ENTRIES_4(i, ...) \
	ENTRY(i, __VA_ARGS__), ENTRY(i + 1, __VA_ARGS__), ENTRY(i + 2, __VA_ARGS__), ENTRY(i + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                       \
	ENTRIES_4(i, __VA_ARGS__), ENTRIES_4(i + 4, __VA_ARGS__), ENTRIES_4(i + 8, __VA_ARGS__), \
		ENTRIES_4(i + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                            \
	ENTRIES_16(i, __VA_ARGS__), ENTRIES_16(i + 16, __VA_ARGS__), ENTRIES_16(i + 32, __VA_ARGS__), \
		ENTRIES_16(i + 48, __VA_ARGS__)
#define TABLE(...)                                                                                     \
	{                                                                                              \
		ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__), \
			ENTRIES_64(192, __VA_ARGS__)                                                   \
	}

/* tables[k][i]: the register after byte i and then k zero bytes. */
static const uint32_t tables[8][256] = {
	TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
	TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
	TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
	TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
	TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
	TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
	TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
	TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};

uint32_t pccl_crc32c_table(uint32_t crc, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	crc = ~crc;
	for (; count >= 8; count -= 8, at += 8) {
		uint32_t low = pccl_load_u32(at) ^ crc;
		uint32_t high = pccl_load_u32(at + 4);

		crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
		      tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
		      tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
	}
	for (; count > 0; count--)
		crc = tables[0][(crc ^ *at++) & 255] ^ crc >> 8;
	return ~crc;
}

#if defined(__x86_64__)
uint32_t pccl_crc32c(uint32_t crc, const void *bytes, size_t count)
{
	if (count < SHORT_BYTES && pccl_cpu_has_sse42())
		return pccl_crc32c_sse42(crc, bytes, count);
	if (pccl_cpu_has_vpclmul() && pccl_cpu_level() == PCCL_CPU_AVX512)
		return pccl_crc32c_vpclmul512(crc, bytes, count);
	if (pccl_cpu_has_vpclmul())
		return pccl_crc32c_vpclmul256(crc, bytes, count);
	if (pccl_cpu_has_sse42())
		return pccl_crc32c_sse42(crc, bytes, count);
	return pccl_crc32c_table(crc, bytes, count);
}
#elif defined(__ARM_FEATURE_CRC32)
uint32_t pccl_crc32c(uint32_t crc, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	crc = ~crc;
	for (; count >= 8; count -= 8, at += 8)
		crc = __crc32cd(crc, pccl_load_u64(at));
	for (; count > 0; count--)
		crc = __crc32cb(crc, *at++);
	return ~crc;
}
#else
uint32_t pccl_crc32c(uint32_t crc, const void *bytes, size_t count)
{
	return pccl_crc32c_table(crc, bytes, count);
}
#endif
