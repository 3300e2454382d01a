/* Identities of peers. */
#include "base/uuid.h"

#include <string.h>

bool pccl_uuid_equal(const pcclRankUuid_t *left, const pcclRankUuid_t *right)
{
	return pccl_uuid_compare(left, right) == 0;
}

int pccl_uuid_compare(const pcclRankUuid_t *left, const pcclRankUuid_t *right)
{
	return memcmp(left->data, right->data, sizeof(left->data));
}

bool pccl_uuid_is_zero(const pcclRankUuid_t *uuid)
{
	static const pcclRankUuid_t zero;

	return pccl_uuid_equal(uuid, &zero);
}
