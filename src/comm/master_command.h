/*
 * What the operator of a master tells it to do: a line of words.
 *
 *	list				who is here
 *	evict WHOM [because TEXT]	out of its group at once; it may come back
 *	ban WHOM [because TEXT]		the same, and it may not, until
 *	unban WHOM
 *	bans				who is banned
 *
 * WHOM is "uuid" and 32 hexadecimal digits, "key" and a key, or "name" and the common name in a certificate, as the
 * list shows them. A uuid can't be banned: the next one costs nothing.
 */
#ifndef PCCL_MASTER_COMMAND_H
#define PCCL_MASTER_COMMAND_H

#include "base/identity.h"
#include "comm/visitor.h"

#define PCCL_COMMAND_BYTES 512 /* longest line with its end */
#define PCCL_UUID_TEXT_BYTES (2 * sizeof(pcclRankUuid_t) + 1)
#define PCCL_SUBJECT_TEXT_BYTES (PCCL_KEY_TEXT_BYTES + 8)

enum pccl_verb { PCCL_VERB_LIST, PCCL_VERB_BANS, PCCL_VERB_EVICT, PCCL_VERB_BAN, PCCL_VERB_UNBAN };

/* Whom it is about. */
struct pccl_subject {
	enum pccl_subject_kind { PCCL_SUBJECT_UUID, PCCL_SUBJECT_KEY, PCCL_SUBJECT_NAME } kind;
	pcclRankUuid_t uuid; /* one of the three, the others are zero */
	struct pccl_key key;
	char name[PCCL_BOND_NAME_BYTES];
};

struct pccl_command {
	enum pccl_verb verb;
	struct pccl_subject subject; /* of the last three */
	char because[200];	     /* "": no reason is given */
};

/* pcclInvalidArgument says what is wrong with the line, or its length. */
pcclResult_t pccl_command_parse(const char *line, struct pccl_command *command_out);

bool pccl_subject_equal(const struct pccl_subject *left, const struct pccl_subject *right);
/* Is it this one? */
bool pccl_subject_is(const struct pccl_subject *subject, const pcclRankUuid_t *uuid,
		     const struct pccl_visitor *visitor);
/* As in a command. */
void pccl_subject_text(const struct pccl_subject *subject, char out[PCCL_SUBJECT_TEXT_BYTES]);

#endif
