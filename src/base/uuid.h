/* Identities of peers: 16 bytes, compared as bytes. identity.h says where they come from. */
#ifndef PCCL_BASE_UUID_H
#define PCCL_BASE_UUID_H

#include <stdbool.h>

#include <pccl.h>

#define PCCL_UUID_TEXT_BYTES 37 /* 36 characters and the final zero */

bool pccl_uuid_equal(const pcclRankUuid_t *left, const pcclRankUuid_t *right);

/* The order of the bytes: negative, 0 or positive, as memcmp(). */
int pccl_uuid_compare(const pcclRankUuid_t *left, const pcclRankUuid_t *right);

/* All zero: no identity at all. */
bool pccl_uuid_is_zero(const pcclRankUuid_t *uuid);

/* Writes the usual form, 8-4-4-4-12 lower case hexadecimal digits. */
void pccl_uuid_text(const pcclRankUuid_t *uuid, char out[PCCL_UUID_TEXT_BYTES]);

#endif
