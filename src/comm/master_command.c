#include "comm/master_command.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/hex.h"
#include "base/text.h"
#include "base/uuid.h"

static const struct {
	const char *word;
	enum pccl_verb verb;
	bool has_subject;
} verbs[] = {{"list", PCCL_VERB_LIST, false},
	     {"bans", PCCL_VERB_BANS, false},
	     {"evict", PCCL_VERB_EVICT, true},
	     {"ban", PCCL_VERB_BAN, true},
	     {"unban", PCCL_VERB_UNBAN, true}};

/* Cuts the first word off, and returns what follows it. */
static char *split(char *text)
{
	char *end = text + strcspn(text, " \t");

	if (*end == '\0')
		return end;
	*end = '\0';
	return pccl_text_trim(end + 1);
}

static pcclResult_t read_subject(char *text, struct pccl_subject *subject)
{
	char *what = split(text);
	size_t bytes = strlen(what);

	if (strcmp(text, "uuid") == 0) {
		subject->kind = PCCL_SUBJECT_UUID;
		if (pccl_hex_read(what, bytes, subject->uuid.data, sizeof(subject->uuid.data)))
			return pcclSuccess;
		return pccl_fail(pcclInvalidArgument,
				 "\"%.40s\" is no uuid: 32 hexadecimal digits, as \"list\" says it", what);
	}
	if (strcmp(text, "key") == 0) {
		subject->kind = PCCL_SUBJECT_KEY;
		if (pccl_key_parse(what, bytes, &subject->key))
			return pcclSuccess;
		return pccl_fail(pcclInvalidArgument, "\"%.*s\" is no key: \"list\" says those of who is here",
				 PCCL_KEY_SHOWN, what);
	}
	subject->kind = PCCL_SUBJECT_NAME;
	if (strcmp(text, "name") != 0 || bytes == 0 || bytes >= sizeof(subject->name))
		return pccl_fail(pcclInvalidArgument,
				 "whom? \"uuid UUID\", \"key KEY\" or \"name NAME\", as \"list\" says them");
	memcpy(subject->name, what, bytes + 1);
	return pcclSuccess;
}

static bool ends_with(const char *text, const char *word)
{
	size_t bytes = strlen(text), word_bytes = strlen(word);

	return bytes >= word_bytes && strcmp(text + bytes - word_bytes, word) == 0;
}

static pcclResult_t read_words(char *line, struct pccl_command *command)
{
	char *because = strstr(line, " because ");
	char *rest = split(line);
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]) && strcmp(verbs[i].word, line) != 0; i++)
		;
	if (i == sizeof(verbs) / sizeof(verbs[0]))
		return pccl_fail(pcclInvalidArgument,
				 "\"%.20s\" is no command: list, bans, evict WHOM, ban WHOM or unban WHOM; "
				 "pccl-master has reload, too",
				 line);
	command->verb = verbs[i].verb;
	if (!verbs[i].has_subject)
		return *rest == '\0' ? pcclSuccess
				     : pccl_fail(pcclInvalidArgument, "nothing follows \"%s\"", verbs[i].word);
	if (because == NULL && ends_with(rest, " because"))
		return pccl_fail(pcclInvalidArgument, "because of what? a reason follows \"because\"");
	if (because != NULL) {
		*because = '\0';
		(void)pccl_text_trim(rest);
		pccl_text_copy(command->because, sizeof(command->because), because + strlen(" because "));
	}
	if (read_subject(rest, &command->subject) != pcclSuccess)
		return pcclInvalidArgument;
	if (command->verb != PCCL_VERB_EVICT && command->subject.kind == PCCL_SUBJECT_UUID)
		return pccl_fail(pcclInvalidArgument,
				 "a uuid can't be banned, for whoever has it can draw another: a key "
				 "or a name can");
	return pcclSuccess;
}

pcclResult_t pccl_command_parse(const char *line, struct pccl_command *command_out)
{
	size_t bytes = strnlen(line, PCCL_COMMAND_BYTES);
	char words[PCCL_COMMAND_BYTES];

	memset(command_out, 0, sizeof(*command_out));
	if (bytes == PCCL_COMMAND_BYTES)
		return pccl_fail(pcclInvalidArgument, "a command has less than %d characters", PCCL_COMMAND_BYTES);
	memcpy(words, line, bytes + 1);
	return read_words(pccl_text_trim(words), command_out);
}

bool pccl_subject_equal(const struct pccl_subject *left, const struct pccl_subject *right)
{
	return left->kind == right->kind && pccl_uuid_equal(&left->uuid, &right->uuid) &&
	       memcmp(&left->key, &right->key, sizeof(left->key)) == 0 && strcmp(left->name, right->name) == 0;
}

bool pccl_subject_is(const struct pccl_subject *subject, const pcclRankUuid_t *uuid, const struct pccl_visitor *visitor)
{
	if (subject->kind == PCCL_SUBJECT_UUID)
		return pccl_uuid_equal(&subject->uuid, uuid);
	if (subject->kind == PCCL_SUBJECT_KEY)
		return visitor->has_proven && memcmp(&subject->key, &visitor->key, sizeof(visitor->key)) == 0;
	return strcmp(subject->name, visitor->bond.name) == 0;
}

void pccl_subject_text(const struct pccl_subject *subject, char out[PCCL_SUBJECT_TEXT_BYTES])
{
	char text[PCCL_KEY_TEXT_BYTES];

	if (subject->kind == PCCL_SUBJECT_UUID)
		pccl_hex_write(subject->uuid.data, sizeof(subject->uuid.data), text);
	else if (subject->kind == PCCL_SUBJECT_KEY)
		pccl_key_text(&subject->key, text);
	pccl_text_format(out, PCCL_SUBJECT_TEXT_BYTES, "%s %s",
			 subject->kind == PCCL_SUBJECT_UUID  ? "uuid"
			 : subject->kind == PCCL_SUBJECT_KEY ? "key"
							     : "name",
			 subject->kind == PCCL_SUBJECT_NAME ? subject->name : text);
}
