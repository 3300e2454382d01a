/*
 * Masters' signatures, with a stand-in for the cryptography: a number that comes from what is signed and from a key
 * that is nowhere but here. What masters have signed is written down, so that the checker knows, without looking at any
 * signature, what no master may ever believe.
 */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sim.h"

#define KEY UINT64_C(0x6d61737465722773) /* + which master */
#define STRIDE 64			 /* epochs that masters may pass over, for those that they have begun unheard */

struct sim_seals {
	struct sealer {
		struct pccl_sealer functions;
		struct sim *sim;
		uint8_t key;
	} sealers[SIM_MASTERS];
	uint64_t *made; /* of each imprint the first word */
	size_t count;
	uint32_t epoch; /* the highest, of whatever group, that a master has asked members for */
};

static uint64_t word_of(const struct pccl_imprint *imprint)
{
	uint64_t word;

	memcpy(&word, imprint->data, sizeof(word));
	return word;
}

static struct pccl_seal sign(uint8_t key, const struct pccl_imprint *imprint)
{
	struct pccl_seal seal = {.key = {{key}}};
	uint64_t number = pccl_rng_hash(KEY + key, word_of(imprint));

	memcpy(seal.signature, &number, sizeof(number));
	return seal;
}

static pcclResult_t make(const struct pccl_sealer *functions, const struct pccl_imprint *imprint,
			 struct pccl_seal *seal_out)
{
	const struct sealer *sealer = (const struct sealer *)(const void *)functions;
	struct sim_seals *seals = sealer->sim->seals;

	if ((seals->count & (seals->count - 1)) == 0)
		seals->made = realloc(seals->made, (seals->count > 0 ? 2 * seals->count : 1) * sizeof(*seals->made));
	if (seals->made == NULL)
		abort();
	seals->made[seals->count++] = word_of(imprint);
	*seal_out = sign(sealer->key, imprint);
	return pcclSuccess;
}

static bool trusts(const struct pccl_sealer *functions, const struct pccl_key *key)
{
	(void)functions;
	return key->data[0] >= 1 && key->data[0] <= SIM_MASTERS;
}

static bool holds(const struct pccl_seal *seal, const struct pccl_imprint *imprint)
{
	struct pccl_seal right = sign(seal->key.data[0], imprint);

	return memcmp(&right, seal, sizeof(right)) == 0;
}

void sim_seals_create(struct sim *sim)
{
	uint32_t index;

	sim->seals = calloc(1, sizeof(*sim->seals));
	if (sim->seals == NULL)
		abort();
	for (index = 0; index < SIM_MASTERS; index++) {
		struct sealer *sealer = &sim->seals->sealers[index];

		sealer->functions = (struct pccl_sealer){make, trusts, holds};
		sealer->sim = sim;
		sealer->key = (uint8_t)(1 + index);
	}
}

void sim_seals_destroy(struct sim *sim)
{
	if (sim->seals != NULL)
		free(sim->seals->made);
	free(sim->seals);
	sim->seals = NULL;
}

const struct pccl_sealer *sim_sealer(const struct sim *sim, uint32_t master)
{
	return sim->seals != NULL ? &sim->seals->sealers[master].functions : NULL;
}

struct pccl_seal sim_seal_alone(const struct pccl_imprint *imprint)
{
	return sign(1 + SIM_MASTERS, imprint);
}

static bool was_made(const struct sim *sim, const struct pccl_imprint *imprint)
{
	size_t index;

	for (index = sim->seals->count; index > 0; index--)
		if (sim->seals->made[index - 1] == word_of(imprint))
			return true;
	return false;
}

bool check_is_forged(const struct sim *sim, const struct pccl_message *message)
{
	const struct pccl_message_register *registration = &message->body.registration;
	struct pccl_imprint imprint;
	bool forged = false;
	uint32_t index;

	if (sim->seals == NULL || message->type != PCCL_MESSAGE_REGISTER)
		return false;
	if (registration->last != NULL) {
		(void)pccl_install_imprint(registration->last, &imprint);
		forged = !was_made(sim, &imprint);
	}
	for (index = 0; index < registration->promise_count; index++) {
		(void)pccl_promise_imprint(registration->group, &registration->promises[index], &imprint);
		forged |= !was_made(sim, &imprint);
	}
	return forged;
}

void check_told(struct sim *sim, const struct sim_node *master, const struct pccl_message *message, bool hears_forged)
{
	const struct pccl_message_prepare *prepare = &message->body.prepare;
	struct pccl_imprint imprint;

	if (sim->seals == NULL)
		return;
	if (message->type == PCCL_MESSAGE_WELCOME && hears_forged)
		sim_fail(sim, "master %u takes somebody in with what no master has said", master->id);
	if (message->type == PCCL_MESSAGE_INSTALL) {
		(void)pccl_install_imprint(&message->body.install, &imprint);
		if (!was_made(sim, &imprint))
			sim_fail(sim, "master %u hands on a view that no master has made", master->id);
		else if (!holds(&message->body.install.seal, &imprint))
			sim_fail(sim, "master %u hands out a view that it has not signed", master->id);
	}
	if (message->type != PCCL_MESSAGE_PREPARE)
		return;
	if (prepare->epoch > sim->seals->epoch + STRIDE)
		sim_fail(sim, "master %u is at epoch %u, and no master was beyond %u", master->id, prepare->epoch,
			 sim->seals->epoch);
	if (prepare->epoch > sim->seals->epoch)
		sim->seals->epoch = prepare->epoch;
}
