#include "lib/seeds.h"

#include <stdlib.h>

void seeds_find(uint64_t count, uint64_t *first_out, uint64_t *last_out)
{
	const char *one = getenv("SEED");

#if defined(__SANITIZE_ADDRESS__)
	count /= 2;
#endif
	*first_out = one == NULL ? 1 : strtoull(one, NULL, 0);
	*last_out = one == NULL ? count : *first_out;
}
