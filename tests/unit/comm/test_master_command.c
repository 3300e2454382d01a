/* What the operator of a master may say, and what is refused, in words. */
#include "comm/master_command.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/rng.h"
#include "lib/check.h"

#define ONES "pccl-key-1111111111111111111111111111111111111111111111111111111111111111"
#define UUID "000102030405060708090a0b0c0d0e0f"

static struct pccl_command parsed(const char *line)
{
	struct pccl_command command;

	if (pccl_command_parse(line, &command) != pcclSuccess)
		fail_msg("%s: %s", line, pccl_fail_text());
	return command;
}

static void commands_say_whom_and_why(void **state)
{
	struct pccl_command command;
	struct pccl_key ones;

	(void)state;
	memset(&ones, 0x11, sizeof(ones));
	assert_int_equal(parsed("list").verb, PCCL_VERB_LIST);
	assert_int_equal(parsed(" \tbans \r\n").verb, PCCL_VERB_BANS);
	command = parsed("evict uuid " UUID " because  it is slow");
	assert_int_equal(command.verb, PCCL_VERB_EVICT);
	assert_int_equal(command.subject.kind, PCCL_SUBJECT_UUID);
	assert_int_equal(command.subject.uuid.data[15], 15);
	assert_string_equal(command.because, " it is slow");
	command = parsed("ban  key " ONES);
	assert_int_equal(command.verb, PCCL_VERB_BAN);
	assert_memory_equal(&command.subject.key, &ones, sizeof(ones));
	assert_string_equal(command.because, "");
	command = parsed("unban name worker 7");
	assert_int_equal(command.verb, PCCL_VERB_UNBAN);
	assert_string_equal(command.subject.name, "worker 7");
}

static void check_refused(const char *line, const char *words)
{
	struct pccl_command command;

	assert_int_equal(pccl_command_parse(line, &command), pcclInvalidArgument);
	if (strstr(pccl_fail_text(), words) == NULL)
		fail_msg("\"%s\": %s", line, pccl_fail_text());
}

static void what_is_no_command_is_refused(void **state)
{
	char line[2 * PCCL_COMMAND_BYTES];

	(void)state;
	check_refused("", "is no command");
	check_refused("lists", "is no command");
	check_refused("list all", "nothing follows");
	check_refused("evict", "whom?");
	check_refused("evict because", "whom?");
	check_refused("ban name foo because", "because of what?");
	check_refused("evict because it is slow", "whom?");
	check_refused("evict " UUID, "whom?");
	check_refused("evict uuid", "is no uuid");
	check_refused("evict uuid " UUID "00", "is no uuid");
	check_refused("evict uuid 000102030405060708090A0B0C0D0E0F", "is no uuid");
	check_refused("evict key " UUID, "is no key");
	check_refused("evict name", "whom?");
	check_refused("ban uuid " UUID, "can't be banned");
	memset(line, 'x', sizeof(line));
	memcpy(line, "ban name ", 9);
	line[9 + PCCL_BOND_NAME_BYTES] = '\0';
	check_refused(line, "whom?");
	line[9 + PCCL_BOND_NAME_BYTES] = 'x';
	line[PCCL_COMMAND_BYTES] = '\0';
	check_refused(line, "less than");
}

static void subjects_are_who_has_that_uuid_key_or_name(void **state)
{
	const struct pccl_command by_uuid = parsed("evict uuid " UUID), by_key = parsed("evict key " ONES),
				  by_name = parsed("evict name worker-7");
	struct pccl_visitor visitor = {.is_protected = true, .key = by_key.subject.key};
	pcclRankUuid_t other = by_uuid.subject.uuid;
	char text[PCCL_SUBJECT_TEXT_BYTES];

	(void)state;
	other.data[0] ^= 1;
	assert_true(pccl_subject_is(&by_uuid.subject, &by_uuid.subject.uuid, &visitor));
	assert_false(pccl_subject_is(&by_uuid.subject, &other, &visitor));
	assert_false(pccl_subject_is(&by_key.subject, &other, &visitor)); /* it shows that key, and proves nothing */
	visitor.has_proven = true;
	assert_true(pccl_subject_is(&by_key.subject, &other, &visitor));
	assert_false(pccl_subject_is(&by_name.subject, &other, &visitor));
	strcpy(visitor.bond.name, "worker-7");
	assert_true(pccl_subject_is(&by_name.subject, &other, &visitor));
	assert_true(pccl_subject_equal(&by_name.subject, &by_name.subject));
	assert_false(pccl_subject_equal(&by_name.subject, &by_key.subject));
	pccl_subject_text(&by_uuid.subject, text);
	assert_string_equal(text, "uuid " UUID);
	pccl_subject_text(&by_key.subject, text);
	assert_string_equal(text, "key " ONES);
	pccl_subject_text(&by_name.subject, text);
	assert_string_equal(text, "name worker-7");
}

/* Whatever comes is refused in words, or says whom it means. */
static void mangled_commands_do_no_harm(void **state)
{
	static const char *const good[] = {"evict uuid " UUID " because it is slow", "ban key " ONES,
					   "unban name worker 7 because because", "list", "bans"};
	struct pccl_rng rng;
	int i, changes;

	(void)state;
	pccl_rng_seed(&rng, 1);
	for (i = 0; i < 20000; i++) {
		char line[2 * PCCL_COMMAND_BYTES] = "", text[PCCL_SUBJECT_TEXT_BYTES];
		struct pccl_command command, again;

		strcpy(line, good[pccl_rng_below(&rng, 5)]);
		for (changes = 0; changes < 3; changes++)
			line[pccl_rng_below(&rng, strlen(line) + 2)] = (char)pccl_rng_u64(&rng);
		if (pccl_command_parse(line, &command) != pcclSuccess || command.verb < PCCL_VERB_EVICT)
			continue;
		pccl_subject_text(&command.subject, text);
		assert_true(strlen(command.because) < sizeof(command.because));
		if (command.subject.kind == PCCL_SUBJECT_NAME)
			continue; /* may have what is not shown */
		(void)snprintf(line, sizeof(line), "evict %s", text);
		again = parsed(line);
		assert_true(pccl_subject_equal(&again.subject, &command.subject));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_say_whom_and_why),
		cmocka_unit_test(what_is_no_command_is_refused),
		cmocka_unit_test(subjects_are_who_has_that_uuid_key_or_name),
		cmocka_unit_test(mangled_commands_do_no_harm),
	};

	return cmocka_run_group_tests_name("a master's commands", tests, NULL, NULL);
}
