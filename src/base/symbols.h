/* Functions of a library that is loaded at run time, for a struct of pointers to them. */
#ifndef PCCL_BASE_SYMBOLS_H
#define PCCL_BASE_SYMBOLS_H

#include <stddef.h>

struct pccl_symbol {
	const char *name;
	size_t offset; /* of its pointer in the struct */
};

/* Fills in the struct. The name that the library lacks; NULL: none. */
const char *pccl_symbols_find(void *library, const struct pccl_symbol *symbols, size_t count, void *struct_out);

#endif
