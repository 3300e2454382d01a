/* The table of links that all members know alike. */
#include "base/links.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"

static uint32_t place(const struct pccl_link_measure *measure)
{
	return (uint32_t)measure->from << 16 | measure->to;
}

bool pccl_links_valid(const struct pccl_links *links, uint32_t ranks)
{
	uint32_t index;

	for (index = 0; index < links->count; index++) {
		const struct pccl_link_measure *measure = &links->measures[index];

		if (measure->from >= ranks || measure->to >= ranks || measure->from == measure->to)
			return false;
		if (index > 0 && place(measure) <= place(measure - 1))
			return false;
	}
	return true;
}

pcclResult_t pccl_links_copy(const struct pccl_links *from, struct pccl_links *to_out)
{
	memset(to_out, 0, sizeof(*to_out));
	if (from->count == 0)
		return pcclSuccess;
	assert(from->measures != NULL);
	to_out->measures = pccl_calloc(from->count, sizeof(*to_out->measures));
	if (to_out->measures == NULL)
		return pcclOutOfMemory;
	memcpy(to_out->measures, from->measures, from->count * sizeof(*to_out->measures));
	to_out->count = from->count;
	return pcclSuccess;
}

void pccl_links_fini(struct pccl_links *links)
{
	pccl_free(links->measures);
	memset(links, 0, sizeof(*links));
}
