/* See rogue.h. */
#include "rogue.h"

#include <string.h>

#include "base/memory.h"

/* Of 256: how often a message goes as it is, and what becomes of the others. */
enum { HONEST = 150, CHANGED = 190, REPLACED = 215, DOUBLED = 225, DROPPED = 235 /* the rest: one more before it */ };

bool sim_rogue_is(const struct sim *sim, uint32_t node)
{
	return sim->rogue != NULL && sim->rogue->node == node && sim->rogue->bytes.at < sim->rogue->bytes.end;
}

static uint32_t take(struct sim *sim)
{
	return fuzz_byte(&sim->rogue->bytes);
}

/* Who wants a certain thing to happen finds in the trace which byte says what. */
static uint32_t take_choice(struct sim *sim, const char *of)
{
	long at = sim->rogue->bytes.at - sim->rogue->first;
	uint32_t what = take(sim);

	sim_trace(sim, "  byte %ld of the rogue: %u, of a %s", at, what, of);
	return what;
}

/* A number that decoders and tables stumble over. */
static uint64_t odd_number(struct sim *sim)
{
	static const uint64_t numbers[] = {0,	       1,	   2,	   3,	    0x7f,	0xff,
					   0x100,      0x7fff,	   0xffff, 0x10000, 0x7fffffff, 0x80000000,
					   0xfffffffe, 0xffffffff, 63,	   64,	    UINT64_MAX, 1 << 20};
	uint32_t which = take(sim);

	return which < sizeof(numbers) / sizeof(numbers[0]) ? numbers[which] : which;
}

/* ---- messages ------------------------------ */

static void change_bytes(struct sim *sim, struct sim_packet *packet)
{
	uint32_t count = 1 + take(sim) % 3;

	for (; count > 0 && packet->byte_count > 0; count--) {
		size_t at = (take(sim) << 8 | take(sim)) % packet->byte_count;
		uint64_t number = odd_number(sim);
		size_t width = (size_t)1 << take(sim) % 4;

		for (; width > 0 && at < packet->byte_count; width--, number >>= 8)
			packet->bytes[at++] = (uint8_t)number;
	}
}

/* What somebody makes up. Identities are those of real peers, or the message would count for nothing. */
static void make_up(struct sim *sim, struct sim_packet *packet)
{
	struct pccl_message *message = fuzz_message(&sim->rogue->bytes);

	packet->bytes = NULL;
	packet->byte_count = 0;
	if (message == NULL)
		return;
	(void)pccl_message_encode(message, &packet->bytes, &packet->byte_count);
	pccl_message_destroy(message);
}

static void send(struct sim *sim, const struct sim_node *node, const struct sim_packet *packet)
{
	if (packet->bytes != NULL)
		sim_send(sim, node->id, node->connected_to, packet);
}

static void send_copy(struct sim *sim, const struct sim_node *node, const struct sim_packet *packet)
{
	struct sim_packet copy = *packet;

	copy.bytes = pccl_alloc(packet->byte_count);
	memcpy(copy.bytes, packet->bytes, packet->byte_count);
	send(sim, node, &copy);
}

void sim_rogue_send(struct sim *sim, struct sim_node *node, struct sim_packet *packet)
{
	struct sim_packet other = *packet;
	uint32_t what = take_choice(sim, "message");

	if (what < HONEST) {
		send(sim, node, packet);
		return;
	}
	if (what < CHANGED) {
		change_bytes(sim, packet);
		send(sim, node, packet);
		return;
	}
	if (what < REPLACED || what >= DROPPED) {
		make_up(sim, &other);
		send(sim, node, &other);
	}
	if (what >= REPLACED && what < DOUBLED)
		send_copy(sim, node, packet);
	if ((what >= REPLACED && what < DOUBLED) || what >= DROPPED)
		send(sim, node, packet);
	else
		pccl_free(packet->bytes);
}

/* ---- frames ------------------------------ */

void sim_rogue_frame(struct sim *sim, struct pccl_frame *frame)
{
	uint32_t what = take_choice(sim, "frame");

	if (what < HONEST)
		return;
	switch (what % 8) {
	case 1:
		frame->flags = (uint8_t)odd_number(sim);
		break;
	case 2:
		frame->segment = (uint32_t)odd_number(sim);
		break;
	case 3:
		frame->tag = odd_number(sim) % 8;
		break;
	case 4:
		frame->sequence = (uint32_t)(frame->sequence + take(sim) - 128);
		break;
	case 5:
		frame->epoch = (uint32_t)(frame->epoch + take(sim) - 128);
		break;
	case 6:
		frame->type = (uint8_t)(PCCL_FRAME_START + take(sim) % (PCCL_FRAME_PART - PCCL_FRAME_START + 1));
		break;
	case 7:
		frame->segment ^= 1u << take(sim) % 32;
		break;
	default:
		frame->aux = (uint32_t)odd_number(sim);
		break;
	}
}
