/* See digest.h. */
#include "sync/state/digest.h"

#include <string.h>

#include <openssl/sha.h>
#include <xxhash.h>

uint64_t pccl_chunk_count(uint64_t tensor_bytes)
{
	return tensor_bytes / PCCL_CHUNK_BYTES + (tensor_bytes % PCCL_CHUNK_BYTES != 0);
}

size_t pccl_chunk_length(uint64_t tensor_bytes, uint64_t chunk)
{
	uint64_t left = tensor_bytes - chunk * PCCL_CHUNK_BYTES;

	return left < PCCL_CHUNK_BYTES ? (size_t)left : PCCL_CHUNK_BYTES;
}

struct pccl_digest pccl_digest_of(const void *data, size_t bytes)
{
	XXH128_canonical_t canonical;
	struct pccl_digest digest;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, bytes));
	memcpy(digest.bytes, canonical.digest, sizeof(digest.bytes));
	return digest;
}

struct pccl_digest pccl_digest_by(enum pccl_digest_kind kind, const void *data, size_t bytes)
{
	static const uint8_t nothing;
	uint8_t hash[SHA256_DIGEST_LENGTH];
	struct pccl_digest digest;

	if (kind == PCCL_DIGEST_FAST)
		return pccl_digest_of(data, bytes);
	(void)SHA256(bytes > 0 ? data : &nothing, bytes, hash);
	memcpy(digest.bytes, hash, sizeof(digest.bytes));
	return digest;
}

struct pccl_digest pccl_digest_root(enum pccl_digest_kind kind, const struct pccl_digest *chunks, uint64_t count)
{
	return pccl_digest_by(kind, chunks, (size_t)count * sizeof(*chunks));
}

bool pccl_digest_equal(const struct pccl_digest *left, const struct pccl_digest *right)
{
	return memcmp(left->bytes, right->bytes, sizeof(left->bytes)) == 0;
}

void pccl_digest_print(const struct pccl_digest *digest, char text_out[PCCL_DIGEST_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	size_t index;

	for (index = 0; index < PCCL_DIGEST_BYTES; index++) {
		text_out[2 * index] = digits[digest->bytes[index] >> 4];
		text_out[2 * index + 1] = digits[digest->bytes[index] & 15];
	}
	text_out[2 * PCCL_DIGEST_BYTES] = '\0';
}

static int digit_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool pccl_digest_parse(const char *text, struct pccl_digest *digest_out)
{
	size_t index;

	for (index = 0; index < PCCL_DIGEST_BYTES; index++) {
		int high = digit_value(text[2 * index]);
		int low = high < 0 ? -1 : digit_value(text[2 * index + 1]);

		if (low < 0)
			return false;
		digest_out->bytes[index] = (uint8_t)(high << 4 | low);
	}
	return true;
}
