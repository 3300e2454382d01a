#include "train.h"

#define FOLDER "/usr/share/common-licenses/"
#define BYTES_MAX (1u << 20)

static const char *const files[] = {"GPL-3",	"GPL-2",      "LGPL-2.1", "GFDL-1.3", "MPL-1.1", "MPL-2.0",
				    "GFDL-1.2", "Apache-2.0", "LGPL-2",	  "GPL-1",    "Artistic"};

static uint8_t symbol_of(int character)
{
	if (character == '\n')
		return TEXT_SYMBOLS - 1;
	return character >= ' ' && character < ' ' + TEXT_SYMBOLS - 1 ? (uint8_t)(character - ' ') : 0;
}

/* The last tenth of each file is not trained on. */
static void add_file(struct text *text, FILE *file)
{
	static uint8_t symbols[BYTES_MAX];
	size_t count = 0, i;
	int character;

	while (count < BYTES_MAX && (character = fgetc(file)) != EOF)
		symbols[count++] = symbol_of(character);
	for (i = 0; i < count; i++) {
		if (i < count - count / 10 && text->train_count < BYTES_MAX)
			text->train[text->train_count++] = symbols[i];
		else if (i >= count - count / 10 && text->test_count < BYTES_MAX)
			text->test[text->test_count++] = symbols[i];
	}
}

bool text_load(struct text *text)
{
	static uint8_t train[BYTES_MAX], test[BYTES_MAX];
	size_t i;

	text->train = train;
	text->test = test;
	text->train_count = text->test_count = 0;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[128];
		FILE *file;

		(void)snprintf(path, sizeof(path), FOLDER "%s", files[i]);
		file = fopen(path, "r");
		if (file == NULL)
			continue;
		add_file(text, file);
		(void)fclose(file);
	}
	if (text->train_count > 10000 && text->test_count > 1000)
		return true;
	(void)fprintf(stderr, "diloco-train: there is no text in %s (Debian: the package base-files)\n", FOLDER);
	return false;
}
