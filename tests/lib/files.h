/* A file system that fails at will. Test programs are linked so that the library's calls of pwrite(), fsync(),
 * rename(), ftruncate() and open() pass through here (ld --wrap). */
#ifndef PCCL_TESTS_FILES_H
#define PCCL_TESTS_FILES_H

#include <stdbool.h>
#include <stddef.h>

enum check_file_fault {
	CHECK_FILE_FAILS, /* with the error; a write has put half of it there */
	CHECK_FILE_SHORT, /* a write puts half of it there and says so; others are interrupted once, or succeed */
	CHECK_FILE_KILLS  /* the process is killed; a write has put half of it there */
};

/* From now on call number `nth` of these is hit, counted from 1. 0: none is. */
void check_fail_file(size_t nth, enum check_file_fault fault, int error);

/* Has that call been reached? Its name; NULL: not. */
const char *check_file_failed(void);

#endif
