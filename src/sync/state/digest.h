/* Hashes of state: 128 bits over chunks of a tensor, and one over those. XXH3 (xxhash.com): fast, and good against
 * chance, not against malice. Or SHA-256, of which the first half is taken: who knows a digest can't make other bytes
 * that have it. The bytes of a digest are the same on every machine. Pure. */
#ifndef PCCL_SYNC_STATE_DIGEST_H
#define PCCL_SYNC_STATE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is compared, moved and verified at a time. */
#define PCCL_CHUNK_BYTES ((size_t)1 << 20)

#define PCCL_DIGEST_BYTES 16
#define PCCL_DIGEST_TEXT_BYTES (2 * PCCL_DIGEST_BYTES + 1) /* in hexadecimal, with its end */

struct pccl_digest {
	uint8_t bytes[PCCL_DIGEST_BYTES];
};

/* Chunks of a tensor; the last one may be short. An empty tensor has none. */
uint64_t pccl_chunk_count(uint64_t tensor_bytes);

/* How long is one of them? */
size_t pccl_chunk_length(uint64_t tensor_bytes, uint64_t chunk);

enum pccl_digest_kind { PCCL_DIGEST_FAST, PCCL_DIGEST_STRONG };

/* XXH3. */
struct pccl_digest pccl_digest_of(const void *data, size_t bytes);

struct pccl_digest pccl_digest_by(enum pccl_digest_kind kind, const void *data, size_t bytes);

/* Of a tensor: over the digests of its chunks. */
struct pccl_digest pccl_digest_root(enum pccl_digest_kind kind, const struct pccl_digest *chunks, uint64_t count);

bool pccl_digest_equal(const struct pccl_digest *left, const struct pccl_digest *right);

void pccl_digest_print(const struct pccl_digest *digest, char text_out[PCCL_DIGEST_TEXT_BYTES]);

/* False: these are not 32 hexadecimal digits in small letters. Looks at so many characters only. */
bool pccl_digest_parse(const char *text, struct pccl_digest *digest_out);

#endif
