#include "comm/allowed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/text.h"
#include "transport/files.h"

#define ENTRIES_MAX 65536u
#define RANGES_MAX 16u
#define NAME_BYTES 64u
#define LINE_BYTES 512

struct range {
	uint32_t first;
	uint32_t last;
};

struct entry {
	struct pccl_key key;
	char name[NAME_BYTES]; /* "": the key counts */
	uint32_t range_count;  /* 0: all groups */
	struct range ranges[RANGES_MAX];
};

struct pccl_allowed {
	struct entry *entries;
	uint32_t count;
	uint32_t room;
};

/* ---- lines --------------------------------------------------------------------------------------------------- */

/* NULL: it is no number. */
static const char *read_number(const char *text, uint32_t *number_out)
{
	unsigned long long number;
	char *end;

	if (*text < '0' || *text > '9')
		return NULL;
	errno = 0;
	number = strtoull(text, &end, 10);
	*number_out = (uint32_t)number;
	return errno == 0 && number <= UINT32_MAX ? end : NULL;
}

/* "0,3-5". */
static bool read_groups(const char *text, struct entry *entry)
{
	for (;;) {
		struct range *range = &entry->ranges[entry->range_count];

		if (entry->range_count == RANGES_MAX)
			return false;
		text = read_number(text, &range->first);
		range->last = range->first;
		if (text != NULL && *text == '-')
			text = read_number(text + 1, &range->last);
		if (text == NULL || range->last < range->first)
			return false;
		entry->range_count++;
		if (*text == '\0')
			return true;
		if (*text++ != ',')
			return false;
	}
}

/* Cuts off what follows the word, NULL: it is not there. */
static char *split_at(char *text, const char *word)
{
	char *found = strstr(text, word);

	if (found == NULL)
		return NULL;
	*found = '\0';
	(void)pccl_text_trim(text);
	return pccl_text_trim(found + strlen(word));
}

static pcclResult_t read_entry(char *line, struct entry *entry)
{
	static const char word[] = " groups"; /* blanks at the end are cut off already */
	char *groups = split_at(line, " groups ");
	char *what = pccl_text_trim(line + strcspn(line, " \t"));
	size_t bytes = strlen(what);

	if (groups == NULL && bytes >= sizeof(word) && strcmp(what + bytes - (sizeof(word) - 1), word) == 0)
		groups = what + bytes;
	if (groups != NULL && !read_groups(groups, entry))
		return pccl_fail(pcclInvalidArgument, "\"%s\" are no groups, like 0,3-5, at most %u parts", groups,
				 RANGES_MAX);
	if (strncmp(line, "key ", 4) == 0)
		return pccl_key_parse(what, bytes, &entry->key)
			       ? pcclSuccess
			       : pccl_fail(pcclInvalidArgument, "\"%.*s\" is no key: pccl-master --show-key",
					   PCCL_KEY_SHOWN, what);
	if (strncmp(line, "name ", 5) != 0 || bytes == 0 || bytes >= NAME_BYTES)
		return pccl_fail(pcclInvalidArgument, "it is neither \"key KEY\" nor \"name NAME\"");
	memcpy(entry->name, what, bytes + 1);
	return pcclSuccess;
}

static pcclResult_t add_line(struct pccl_allowed *allowed, char *text)
{
	char *line = pccl_text_trim(text);
	uint32_t room = allowed->room != 0 ? 2 * allowed->room : 16;
	struct entry *entries;

	if (*line == '\0' || *line == '#')
		return pcclSuccess;
	if (allowed->count == ENTRIES_MAX)
		return pccl_fail(pcclInvalidArgument, "more than %u entries", ENTRIES_MAX);
	if (allowed->count == allowed->room) {
		entries = pccl_realloc(allowed->entries, room * sizeof(*entries));
		if (entries == NULL)
			return pcclOutOfMemory;
		allowed->entries = entries;
		allowed->room = room;
	}
	memset(&allowed->entries[allowed->count], 0, sizeof(*allowed->entries));
	return read_entry(line, &allowed->entries[allowed->count++]);
}

/* ---- the list ------------------------------------------------------------------------------------------------ */

static pcclResult_t read_lines(FILE *file, const char *path, struct pccl_allowed *allowed)
{
	pcclResult_t result = pcclSuccess;
	char line[LINE_BYTES];
	uint32_t number;

	for (number = 1; result == pcclSuccess && fgets(line, sizeof(line), file) != NULL; number++)
		result = strlen(line) + 1 < sizeof(line) ? add_line(allowed, line)
							 : pccl_fail(pcclInvalidArgument, "it is too long");
	if (result != pcclSuccess)
		return pccl_fail(result, "%s, line %u: %s", path, number - 1, pccl_fail_text());
	if (ferror(file) != 0)
		return pccl_fail(pcclInvalidArgument, "%s can't be read", path);
	if (allowed->count == 0) /* it is being written anew, say; and all who are there would have to go */
		return pccl_fail(pcclInvalidArgument, "%s lets nobody join: no line of it is key KEY or name NAME",
				 path);
	return pcclSuccess;
}

pcclResult_t pccl_allowed_read(const char *path, struct pccl_allowed **allowed_out)
{
	struct pccl_allowed *allowed = pccl_zalloc(sizeof(*allowed));
	pcclResult_t result = pcclOutOfMemory;
	FILE *file = NULL;

	*allowed_out = NULL;
	if (allowed != NULL && *path == '\0')
		result = pccl_fail(pcclInvalidArgument,
				   "the name of the list of who may join is empty (--allow, PCCL_ALLOW_FILE)");
	else if (allowed != NULL)
		result = pccl_files_open(path, "the list of who may join", false, &file);
	if (result == pcclSuccess)
		result = read_lines(file, path, allowed);
	if (file != NULL)
		(void)fclose(file);
	if (result == pcclSuccess)
		*allowed_out = allowed;
	else
		pccl_allowed_destroy(allowed);
	return result;
}

void pccl_allowed_destroy(struct pccl_allowed *allowed)
{
	if (allowed == NULL)
		return;
	pccl_free(allowed->entries);
	pccl_free(allowed);
}

static bool has_group(const struct entry *entry, uint32_t group)
{
	uint32_t i;

	for (i = 0; i < entry->range_count; i++)
		if (group >= entry->ranges[i].first && group <= entry->ranges[i].last)
			return true;
	return entry->range_count == 0;
}

bool pccl_allowed_admits(const struct pccl_allowed *allowed, const struct pccl_key *key, const char *name,
			 uint32_t group)
{
	uint32_t i;

	for (i = 0; i < allowed->count; i++) {
		const struct entry *entry = &allowed->entries[i];
		bool fits = entry->name[0] != '\0' ? strcmp(entry->name, name) == 0
						   : memcmp(&entry->key, key, sizeof(*key)) == 0;

		if (fits && has_group(entry, group))
			return true;
	}
	return false;
}
