/* What other peers say of their states: records, lists of keys, and the frames of a transfer. The first byte says
 * which. Records that are taken are written again as they came, and any set of them has an outcome. Frames come from
 * two sources and go into a fetch of three chunks, of which only right bytes may count; parts may come compressed. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "collectives/codec/codec_lossless.h"
#include "sync/state/election.h"
#include "sync/state/transfer.h"

enum { RANKS = 3, RECORDS_MAX = 16, SYNC = 7, LARGE_BYTES = 2 << 20, PENDING_MAX = 8, STEP_BYTES = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

/* ---- records ------------------------------ */

static void try_records(const uint8_t *data, size_t bytes)
{
	struct pccl_state_record records[RECORDS_MAX];
	struct pccl_state_part parts[RECORDS_MAX];
	struct pccl_election election;
	uint8_t again[PCCL_STATE_RECORD_BYTES];
	uint32_t count = 0, rank;
	char text[400];

	for (; bytes >= sizeof(again) && count < RECORDS_MAX; data += sizeof(again), bytes -= sizeof(again)) {
		if (pccl_state_record_decode(data, &records[count]) != pcclSuccess) {
			demand(pccl_fail_text()[0] != '\0');
			continue;
		}
		pccl_state_record_encode(&records[count++], again);
		demand(memcmp(again, data, sizeof(again)) == 0);
	}
	if (count == 0)
		return;
	pccl_elect(records, count, &election, parts);
	demand(election.reason != PCCL_STATE_FINE || parts[election.truth].role != PCCL_STATE_FAILS);
	for (rank = 0; rank < count; rank++) {
		if (parts[rank].role == PCCL_STATE_FAILS || election.reason != PCCL_STATE_FINE)
			pccl_election_explain(&election, &records[rank],
					      election.reason != PCCL_STATE_FINE ? election.reason : parts[rank].reason,
					      text, sizeof(text));
		demand(!parts[rank].serves || parts[rank].role == PCCL_STATE_HOLDS || parts[rank].inherits);
	}
}

/* ---- a state of two tensors ------------------------------ */

struct own {
	uint8_t large[LARGE_BYTES], small[100];
	pcclTensorInfo_t infos[2];
	pcclSharedState_t state;
	struct pccl_inventory *inventory;
};

static void make(struct own *own, uint8_t fill)
{
	uint32_t chunk;

	memset(own->large, fill, LARGE_BYTES);
	memset(own->small, fill, sizeof(own->small));
	own->infos[0] = (pcclTensorInfo_t){.name = "large", .data = own->large, .count = LARGE_BYTES};
	own->infos[1] = (pcclTensorInfo_t){.name = "small", .data = own->small, .count = sizeof(own->small)};
	own->state = (pcclSharedState_t){.count = 2, .infos = own->infos};
	demand(pccl_inventory_create(&own->state, &own->inventory) == pcclSuccess);
	for (chunk = 0; chunk < own->inventory->chunk_count; chunk++)
		pccl_inventory_digest_chunk(own->inventory, chunk);
}

static void try_keys(const struct own *own, const uint8_t *data, size_t bytes)
{
	char text[200] = "";

	pccl_inventory_compare(own->inventory, data, bytes, text, sizeof(text));
	demand(text[0] != '\0' && memchr(text, '\0', sizeof(text)) != NULL);
}

/* ---- frames ------------------------------ */

/* A payload that is on its way. */
struct pending {
	uint32_t rank;
	struct pccl_frame frame;
	uint8_t *destination;
};

struct fetching {
	struct pccl_transfer *transfer;
	const struct own *truth;
	const uint8_t *noise; /* what compressed parts hold that are not right, over and over */
	size_t noise_bytes;
	struct pending pending[PENDING_MAX];
	uint32_t pending_count;
};

static uint8_t packed[PCCL_TRANSFER_PART_BYTES]; /* a part of the truth */
static size_t packed_bytes;

static void pack_truth(const struct own *truth)
{
	struct pccl_lossless *lossless;

	demand(pccl_lossless_create(sizeof(packed), &lossless) == pcclSuccess);
	packed_bytes = pccl_lossless_encode(lossless, truth->large, sizeof(packed), pcclUint8, packed, sizeof(packed));
	demand(packed_bytes > 0);
	pccl_lossless_destroy(lossless);
}

static void bring_packed(const struct fetching *it, const struct pending *pending, bool right)
{
	size_t at;

	if (right && pending->frame.payload_bytes == packed_bytes) {
		memcpy(pending->destination, packed, packed_bytes);
		return;
	}
	for (at = 0; at < pending->frame.payload_bytes; at++)
		pending->destination[at] = it->noise[at % it->noise_bytes];
}

static void complete(struct fetching *it, uint32_t at, bool right)
{
	struct pending *pending = &it->pending[at];
	const struct pccl_frame *frame = &pending->frame;

	if (pending->destination != NULL && (frame->flags & PCCL_FRAME_PACKED) != 0)
		bring_packed(it, pending, right);
	else if (pending->destination != NULL)
		memset(pending->destination, right ? it->truth->large[0] : 0xee, frame->payload_bytes);
	pccl_transfer_received(it->transfer, pending->rank, frame);
	it->pending[at] = it->pending[--it->pending_count];
}

static void bring(struct fetching *it, const uint8_t *step)
{
	static const uint8_t types[] = {PCCL_FRAME_OFFER, PCCL_FRAME_WANT, PCCL_FRAME_PART, PCCL_FRAME_PART};
	struct pending pending = {.rank = step[1] % RANKS};
	struct pccl_frame *frame = &pending.frame;
	void *destination;

	frame->type = types[step[0] % 4];
	frame->tag = step[1] < 240 ? SYNC : SYNC + 1;
	frame->sequence = step[2] < 200 ? 0 : step[2] % 8;
	frame->segment = step[3] % 5;
	frame->aux = frame->type == PCCL_FRAME_PART ? step[4] % 6 : step[4] / 250;
	frame->payload_bytes = frame->type != PCCL_FRAME_PART ? 0
			       : frame->segment == 2	      ? 100
							      : PCCL_TRANSFER_PART_BYTES;
	if (frame->type == PCCL_FRAME_PART && step[4] >= 128) {
		frame->flags = PCCL_FRAME_PACKED;
		frame->payload_bytes = (uint32_t)packed_bytes;
	}
	if (step[5] >= 240)
		frame->payload_bytes = step[5];
	switch (pccl_transfer_accept(it->transfer, pending.rank, frame, &destination)) {
	case PCCL_FRAME_TAKE:
		pending.destination = destination;
		it->pending[it->pending_count++] = pending;
		if (it->pending_count == PENDING_MAX || step[5] % 2 == 0)
			complete(it, it->pending_count - 1, step[5] % 8 != 0);
		break;
	case PCCL_FRAME_REJECT:
		demand(pccl_fail_text()[0] != '\0');
		break;
	default:
		break;
	}
}

static void act(struct fetching *it, const uint8_t *step, uint64_t now_ns)
{
	struct pccl_frame_send send;
	uint32_t rank = step[1] % RANKS;

	if (step[0] < 200) {
		bring(it, step);
	} else if (step[0] < 220 && it->pending_count > 0) {
		struct pending *last = &it->pending[--it->pending_count];

		pccl_transfer_dropped(it->transfer, last->rank, &last->frame);
	} else if (step[0] < 240 && it->pending_count > 0) {
		complete(it, step[2] % it->pending_count, true);
	} else if (step[0] == 255) {
		while (it->pending_count > 0) /* a link that is lost drops what it was bringing */
			pccl_transfer_dropped(it->transfer, it->pending[it->pending_count - 1].rank,
					      &it->pending[it->pending_count - 1].frame),
				it->pending_count--;
		pccl_transfer_lost(it->transfer, rank);
	}
	pccl_transfer_look(it->transfer, now_ns);
	while (pccl_transfer_ready(it->transfer, &rank))
		while (pccl_transfer_next(it->transfer, rank, &send))
			;
}

/* `early`: what comes is not verified. */
static void try_frames(const struct own *own, const uint8_t *data, size_t bytes, bool early)
{
	const struct pccl_transfer_config config = {.packing = bytes % 3 == 0 ? PCCL_PACK_ALWAYS : PCCL_PACK_NEVER,
						    .states_max = early ? 1 : 0};
	static const uint32_t chunks[] = {0, 1, 2};
	uint8_t progress[3] = {0};
	pcclRankUuid_t uuids[RANKS] = {{{1}}, {{2}}, {{3}}};
	struct pccl_transfer_outcome outcome = {.event = PCCL_TRANSFER_CLOSED};
	struct fetching it = {.transfer = NULL};
	struct pccl_fetch fetch = {.patient = early,
				   .lanes = 1,
				   .count = 3,
				   .chunks = chunks,
				   .progress = progress,
				   .sources = &uuids[1],
				   .source_count = RANKS - 1,
				   .little_bytes = PCCL_TRANSFER_LITTLE_BYTES};
	static struct own truth; /* nobody writes to it */
	uint64_t now_ns = 1;

	if (truth.inventory == NULL)
		make(&truth, 9);
	if (packed_bytes == 0)
		pack_truth(&truth);
	it.truth = &truth;
	it.noise = data;
	it.noise_bytes = bytes;
	fetch.leaves = early ? NULL : truth.inventory->leaves;
	demand(pccl_transfer_create(&config, &it.transfer) == pcclSuccess);
	demand(pccl_transfer_install(it.transfer, RANKS, 0, uuids) == pcclSuccess);
	pccl_transfer_open(it.transfer, SYNC, own->inventory, bytes % 2 == 0);
	pccl_transfer_fetch(it.transfer, &fetch);
	for (; bytes >= STEP_BYTES; data += STEP_BYTES, bytes -= STEP_BYTES) {
		act(&it, data, now_ns);
		now_ns += PCCL_TRANSFER_MUTE_NS / 4;
		if (pccl_transfer_poll(it.transfer, &outcome))
			break;
	}
	if (!early && outcome.event == PCCL_TRANSFER_FETCHED && outcome.result == pcclSuccess)
		demand(memcmp(own->large, truth.large, LARGE_BYTES) == 0 &&
		       memcmp(own->small, truth.small, sizeof(truth.small)) == 0);
	pccl_transfer_close(it.transfer);
	pccl_transfer_destroy(it.transfer);
}

extern const unsigned long fuzz_mutations;
const unsigned long fuzz_mutations = 300;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct own own;

	if (bytes == 0)
		return 0;
	if (data[0] % 4 == 0) {
		try_records(data + 1, bytes - 1);
		return 0;
	}
	make(&own, 5);
	if (data[0] % 4 == 1)
		try_keys(&own, data + 1, bytes - 1);
	else
		try_frames(&own, data + 1, bytes - 1, data[0] >= 128);
	pccl_inventory_destroy(own.inventory);
	return 0;
}
