#include "base/text.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DOTS "..."
#define WORD_MAX 40 /* a longer run without a blank is no word: it is cut where it has to be */

/* Bytes from 128 on are parts of UTF-8. */
static void clean(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static bool is_inside_character(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

/* The buffer is full, and there would be more. */
static void cut(char *out, size_t bytes)
{
	size_t end = bytes - sizeof(DOTS), word = end;

	while (word > 0 && end - word < WORD_MAX && out[word] != ' ')
		word--;
	if (word > 0 && out[word] == ' ')
		end = word;
	while (end > 0 && (is_inside_character(out[end]) || out[end - 1] == ' '))
		end--;
	memcpy(out + end, DOTS, sizeof(DOTS));
}

void pccl_text_vformat(char *out, size_t bytes, const char *format, va_list arguments)
{
	int length = vsnprintf(out, bytes, format, arguments);

	assert(bytes >= 8);
	if (length < 0)
		out[0] = '\0';
	else if ((size_t)length >= bytes)
		cut(out, bytes);
	clean(out);
}

void pccl_text_format(char *out, size_t bytes, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	pccl_text_vformat(out, bytes, format, arguments);
	va_end(arguments);
}

void pccl_text_copy(char *out, size_t bytes, const char *text)
{
	size_t length = strlen(text);

	assert(bytes >= 8);
	memmove(out, text, length < bytes ? length + 1 : bytes);
	if (length >= bytes)
		cut(out, bytes);
	clean(out);
}

char *pccl_text_trim(char *text)
{
	size_t bytes = strlen(text);

	while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]) != NULL)
		text[--bytes] = '\0';
	return text + strspn(text, " \t");
}
