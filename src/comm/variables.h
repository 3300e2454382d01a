/* The PCCL_* variables of the environment: which there are, and what was meant by one that there isn't. */
#ifndef PCCL_VARIABLES_H
#define PCCL_VARIABLES_H

#include <stdbool.h>
#include <stddef.h>

/* Does the library, a program of ours, or the Python package read it? `name` needs no end after its `length`. */
bool pccl_variables_has(const char *name, size_t length);

/* The known one that most resembles it; NULL: none does. Static. */
const char *pccl_variables_nearest(const char *name, size_t length);

/* Warns, once in a process, of the variables that begin with PCCL_ and that nobody reads. */
void pccl_variables_check(void);

#endif
