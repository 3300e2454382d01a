#include "base/hex.h"

void pccl_hex_write(const uint8_t *data, size_t bytes, char *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < bytes; i++) {
		*out++ = digits[data[i] >> 4];
		*out++ = digits[data[i] & 15];
	}
	*out = '\0';
}

static int digit_of(char character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

bool pccl_hex_read(const char *text, size_t characters, uint8_t *out, size_t bytes)
{
	size_t i;

	if (characters != 2 * bytes)
		return false;
	for (i = 0; i < bytes; i++) {
		int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
