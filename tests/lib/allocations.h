/* Out of memory at will. Test programs are linked so that the allocations of the library and of the test itself pass
 * through here (ld --wrap); those of other libraries do not. */
#ifndef PCCL_TESTS_ALLOCATIONS_H
#define PCCL_TESTS_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the allocation number `nth` fails, counted from 1, and all after it succeed again. 0: none fails. */
void check_fail_allocation(size_t nth);

/* How many allocations are still to succeed before the one that fails, that one included; 0: none will fail. */
size_t check_allocations_left(void);

/* Has the allocation been reached that check_fail_allocation() named? */
bool check_allocation_failed(void);

#endif
