#include "base/symbols.h"

#include <dlfcn.h>
#include <string.h>

const char *pccl_symbols_find(void *library, const struct pccl_symbol *symbols, size_t count, void *struct_out)
{
	size_t index;

	for (index = 0; index < count; index++) {
		void *symbol = dlsym(library, symbols[index].name);

		if (symbol == NULL)
			return symbols[index].name;
		/* A function's address, which C99 keeps apart from those of data and POSIX does not. */
		memcpy((char *)struct_out + symbols[index].offset, &symbol, sizeof(symbol));
	}
	return NULL;
}
