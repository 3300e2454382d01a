/* CMocka with the headers it wants to see first, and how a test file ends. */
#ifndef PCCL_TESTS_CHECK_H
#define PCCL_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka comes last: it needs all of the above. */
#include <cmocka.h>

#endif
