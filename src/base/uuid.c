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

void pccl_uuid_text(const pcclRankUuid_t *uuid, char out[PCCL_UUID_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	size_t index;

	for (index = 0; index < sizeof(uuid->data); index++) {
		if (index == 4 || index == 6 || index == 8 || index == 10)
			*out++ = '-';
		*out++ = digits[uuid->data[index] >> 4];
		*out++ = digits[uuid->data[index] & 15];
	}
	*out = '\0';
}
