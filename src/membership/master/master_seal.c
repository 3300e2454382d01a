/*
 * Seals. A master that has a key signs each view before it is in force, and each PREPARE. Members keep the signature
 * with what it is about and bring both to the next master, which believes only what it, or another master that it
 * knows, has signed: members, former ones included, can bring it an old view, but none that was never in force, and no
 * promise that nobody was asked for.
 */
#include "membership/master/master_seal.h"

#include "base/text.h"

pcclResult_t pccl_seal_install(const struct pccl_master *master, struct pccl_install *install)
{
	const struct pccl_sealer *sealer = master->config.sealer;
	struct pccl_imprint imprint;

	if (sealer == NULL)
		return pcclSuccess;
	if (pccl_install_imprint(install, &imprint) != pcclSuccess ||
	    sealer->make(sealer, &imprint, &install->seal) != pcclSuccess)
		return pcclOutOfMemory;
	return pcclSuccess;
}

pcclResult_t pccl_seal_prepare(const struct pccl_master *master, uint32_t group, struct pccl_message_prepare *prepare)
{
	const struct pccl_sealer *sealer = master->config.sealer;
	const struct pccl_promise promise = {.master = master->config.uuid,
					     .run = prepare->run,
					     .epoch = prepare->epoch,
					     .member_count = prepare->member_count,
					     .members = prepare->members};
	struct pccl_imprint imprint;

	if (sealer == NULL)
		return pcclSuccess;
	if (pccl_promise_imprint(group, &promise, &imprint) != pcclSuccess ||
	    sealer->make(sealer, &imprint, &prepare->seal) != pcclSuccess)
		return pcclOutOfMemory;
	return pcclSuccess;
}

static bool refuse(struct pccl_master *master, struct pccl_client *client, const char *text)
{
	pccl_client_dismiss(master, client, PCCL_MESSAGE_REFUSED, pcclMasterConnectionFailed, text);
	return false;
}

/* It may come again. */
static bool lose(struct pccl_master *master, struct pccl_client *client)
{
	pccl_client_lose(master, client, PCCL_LOSS_SILENT, "the master is out of memory");
	return false;
}

static bool check(struct pccl_master *master, struct pccl_client *client, const struct pccl_seal *seal,
		  const struct pccl_imprint *imprint)
{
	const struct pccl_sealer *sealer = master->config.sealer;
	char text[PCCL_CAUSE_TEXT_BYTES];
	char key[PCCL_KEY_TEXT_BYTES];

	if (!pccl_seal_is_set(seal))
		return refuse(
			master, client,
			"no master has signed the view that this peer brings, and this one believes no other: had "
			"the master before it a key (pccl-master --key)?");
	if (!sealer->holds(seal, imprint))
		return refuse(master, client, "the view that this peer brings is not what a master has signed");
	if (sealer->trusts(sealer, &seal->key))
		return true;
	pccl_key_text(&seal->key, key);
	pccl_text_format(text, sizeof(text),
			 "the view that this peer brings is signed by %s, which is none of PCCL_MASTER_KEYS at this "
			 "master",
			 key);
	return refuse(master, client, text);
}

static bool check_promise(struct pccl_master *master, struct pccl_client *client, uint32_t group,
			  const struct pccl_promise *promise)
{
	struct pccl_imprint imprint;

	if (pccl_promise_imprint(group, promise, &imprint) != pcclSuccess)
		return lose(master, client);
	return check(master, client, &promise->seal, &imprint);
}

bool pccl_seals_check(struct pccl_master *master, struct pccl_client *client,
		      const struct pccl_message_register *registration)
{
	struct pccl_imprint imprint;
	uint32_t index;

	if (master->config.sealer == NULL)
		return true;
	if (registration->last != NULL) {
		if (pccl_install_imprint(registration->last, &imprint) != pcclSuccess)
			return lose(master, client);
		if (!check(master, client, &registration->last->seal, &imprint))
			return false;
	}
	for (index = 0; index < registration->promise_count; index++) {
		if (!check_promise(master, client, registration->group, &registration->promises[index]))
			return false;
	}
	return true;
}
