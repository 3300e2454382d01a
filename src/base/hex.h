/* Bytes as hexadecimal digits, small letters. */
#ifndef PCCL_BASE_HEX_H
#define PCCL_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two characters for each byte, and NUL. */
void pccl_hex_write(const uint8_t *data, size_t bytes, char *out);

/* `characters` of text. False: they are not so many bytes; `out` may have been written to. */
bool pccl_hex_read(const char *text, size_t characters, uint8_t *out, size_t bytes);

#endif
