/* Texts for people in buffers of fixed size: what is too long ends at a word, with "...", and what came from others has
 * no control characters. */
#ifndef PCCL_BASE_TEXT_H
#define PCCL_BASE_TEXT_H

#include <stdarg.h>
#include <stddef.h>

/* As vsnprintf(); `bytes` is at least 8. The arguments may not point into `out`. */
void pccl_text_vformat(char *out, size_t bytes, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));
void pccl_text_format(char *out, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The text alone; it may be `out`. */
void pccl_text_copy(char *out, size_t bytes, const char *text);

/* Cuts blanks and ends of lines off the end, and returns where the first word begins. */
char *pccl_text_trim(char *text);

#endif
