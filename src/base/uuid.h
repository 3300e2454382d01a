/* Identities of peers: 16 bytes, compared as bytes. identity.h says where they come from. */
#ifndef PCCL_BASE_UUID_H
#define PCCL_BASE_UUID_H

#include <stdbool.h>

#include <pccl.h>

bool pccl_uuid_equal(const pcclRankUuid_t *left, const pcclRankUuid_t *right);

/* The order of the bytes: negative, 0 or positive, as memcmp(). */
int pccl_uuid_compare(const pcclRankUuid_t *left, const pcclRankUuid_t *right);

/* All zero: no identity at all. */
bool pccl_uuid_is_zero(const pcclRankUuid_t *uuid);

#endif
