/* The words for the values of the public enumerations, in one table: settings, logs, programs and bindings share it. */
#ifndef PCCL_BASE_NAMES_H
#define PCCL_BASE_NAMES_H

#include <pccl/diagnostics.h>
#include <stdbool.h>
#include <stddef.h>

/* The word of a value; NULL if the value or the enumeration is unknown. Static. */
const char *pccl_name_of(pcclEnum_t which, int value);

/* The same for texts: "?" instead of NULL. */
const char *pccl_name_or_mark(pcclEnum_t which, int value);

/* The value of a word, in any case, synonyms too. False, and *value_out untouched, if it is none. */
bool pccl_name_find(pcclEnum_t which, const char *name, int *value_out);

/* The value at a position in the order of the header, from 0; false beyond the last. */
bool pccl_name_value(pcclEnum_t which, size_t index, int *value_out);

/* "abort, retry, repair": the words of all values but the defaults, as far as they fit. */
void pccl_name_list(pcclEnum_t which, char *text, size_t text_bytes);

#endif
