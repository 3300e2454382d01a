/* The doorman: waits for every caller's HELLO, but not for ever and not for everybody. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/log_rate.h"
#include "base/memory.h"
#include "transport/link/hello.h"

#define GUESTS_MAX 256u

/* A caller who has not said HELLO yet. */
struct guest {
	struct pccl_doorman *doorman;
	struct pccl_stream *stream;
	uint64_t until_ns;
	uint64_t origin;     /* see pccl_address_origin() */
	uint32_t neighbours; /* scratch: guests from there */
	struct guest *older;
	struct guest *younger;
	char address[PCCL_ADDRESS_BYTES]; /* that it calls from */
	uint8_t payload[PCCL_HELLO_BYTES];
};

struct pccl_doorman {
	struct pccl_loop *loop;
	const struct pccl_transport *transport; /* that it listens with */
	struct pccl_listener *listener;
	uint16_t port;
	uint64_t timeout_ns;
	void (*arrived)(void *context, struct pccl_stream *stream, const struct pccl_hello *hello);
	void *context;
	struct guest *oldest;
	struct guest *youngest;
	uint32_t guest_count;
	struct pccl_timer timer;	 /* for the oldest */
	struct pccl_log_rates shown_out; /* lines about those, */
	struct pccl_log_rate turned;	 /* and about those that did not come in */
};

/* ---- the list of guests, by age ------------------------------------------------------------------------------ */

static void unlist(struct guest *guest)
{
	struct pccl_doorman *doorman = guest->doorman;

	if (guest->older != NULL)
		guest->older->younger = guest->younger;
	else
		doorman->oldest = guest->younger;
	if (guest->younger != NULL)
		guest->younger->older = guest->older;
	else
		doorman->youngest = guest->older;
	doorman->guest_count--;
}

static void list(struct guest *guest)
{
	struct pccl_doorman *doorman = guest->doorman;

	guest->older = doorman->youngest;
	if (doorman->youngest != NULL)
		doorman->youngest->younger = guest;
	else
		doorman->oldest = guest;
	doorman->youngest = guest;
	doorman->guest_count++;
}

static void show_out(struct guest *guest, const char *why)
{
	struct pccl_doorman *doorman = guest->doorman;
	const char *more = pccl_log_rate_of(&doorman->shown_out, guest->address, why, pccl_loop_now(doorman->loop));

	if (more != NULL)
		pccl_log_info("port %u: hung up on %s: %s%s", doorman->port, guest->address, why, more);
	guest->stream->transport->close(guest->stream, false);
	unlist(guest);
	pccl_free(guest);
}

/* ---- what a guest does --------------------------------------------------------------------------------------- */

static enum pccl_frame_verdict on_header(void *context, struct pccl_stream *stream, const struct pccl_frame *frame,
					 void **destination_out)
{
	struct guest *guest = context;

	(void)stream;
	if (frame->type != PCCL_FRAME_HELLO) {
		pccl_fail(pcclRankConnectionFailed, "its first frame is of type %u, not HELLO", frame->type);
		return PCCL_FRAME_REJECT;
	}
	if (frame->payload_bytes > PCCL_HELLO_BYTES) {
		pccl_fail(pcclRankConnectionFailed, "HELLO of %u bytes is too long", frame->payload_bytes);
		return PCCL_FRAME_REJECT;
	}
	*destination_out = guest->payload;
	return PCCL_FRAME_TAKE;
}

static void on_received(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	struct guest *guest = context;
	struct pccl_doorman *doorman = guest->doorman;
	struct pccl_hello hello;

	if (pccl_hello_decode(guest->payload, frame->payload_bytes, &hello) != pcclSuccess) {
		show_out(guest, pccl_fail_text());
		return;
	}
	stream->transport->detach(stream);
	unlist(guest);
	pccl_free(guest);
	doorman->arrived(doorman->context, stream, &hello);
}

static void on_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	struct guest *guest = context;

	(void)stream;
	show_out(guest, reason);
}

static const struct pccl_stream_events guest_events = {
	.header = on_header,
	.received = on_received,
	.broken = on_broken,
};

static void on_timeout(struct pccl_timer *timer)
{
	struct pccl_doorman *doorman = timer->context;

	while (doorman->oldest != NULL && doorman->oldest->until_ns <= pccl_loop_now(doorman->loop))
		show_out(doorman->oldest, "it did not say HELLO in time");
	if (doorman->oldest != NULL)
		pccl_loop_timer_set(doorman->loop, timer, doorman->oldest->until_ns);
}

/* The oldest one of the origin that has most guests: who floods the door keeps nobody else out, whatever number of
 * addresses it has. */
static struct guest *one_too_many(const struct pccl_doorman *doorman)
{
	struct guest *worst = doorman->oldest;
	struct guest *guest;

	for (guest = doorman->oldest; guest != NULL; guest = guest->younger) {
		const struct guest *other;

		guest->neighbours = 0;
		for (other = doorman->oldest; other != NULL; other = other->younger)
			guest->neighbours += guest->origin == other->origin;
		if (guest->neighbours > worst->neighbours)
			worst = guest;
		if (guest->neighbours * 2 > doorman->guest_count)
			break; /* nobody has more */
	}
	return worst;
}

static uint64_t origin_of(const char *text)
{
	struct pccl_address address;

	return pccl_address_numeric(text, 0, &address) == pcclSuccess ? pccl_address_origin(&address) : 0;
}

static void on_accepted(void *context, struct pccl_stream *stream)
{
	struct pccl_doorman *doorman = context;
	struct guest *guest;

	if (doorman->guest_count == GUESTS_MAX)
		show_out(one_too_many(doorman), "too many callers wait; it was the first of those from its address");
	guest = pccl_zalloc(sizeof(*guest));
	if (guest == NULL || stream->transport->attach(stream, doorman->loop, &guest_events, guest) != pcclSuccess) {
		const char *more = pccl_log_rate(&doorman->turned, pccl_loop_now(doorman->loop));

		if (more != NULL)
			pccl_log_error("port %u: a caller was turned away: %s%s", doorman->port, pccl_fail_text(),
				       more);
		stream->transport->close(stream, false);
		pccl_free(guest);
		return;
	}
	guest->doorman = doorman;
	guest->stream = stream;
	stream->transport->remote(stream, guest->address);
	guest->origin = origin_of(guest->address);
	guest->until_ns = pccl_loop_now(doorman->loop) + doorman->timeout_ns;
	list(guest);
	if (doorman->timer.when_ns == 0)
		pccl_loop_timer_set(doorman->loop, &doorman->timer, guest->until_ns);
}

/* ---- the door ------------------------------------------------------------------------------------------------ */

/* The first port of the range that can be had. */
static pcclResult_t listen_in_range(struct pccl_doorman *doorman, const struct pccl_address *address,
				    uint16_t port_last)
{
	struct pccl_address at = *address;
	uint16_t first = pccl_address_port(address);
	uint16_t last = first != 0 && port_last > first ? port_last : first;
	pcclResult_t result = pcclSuccess;
	char text[PCCL_ADDRESS_PORT_BYTES];
	uint32_t port;

	for (port = first; port <= last; port++) {
		pccl_address_set_port(&at, (uint16_t)port);
		result = doorman->transport->listen(doorman->transport, doorman->loop, &at, on_accepted, doorman,
						    &doorman->listener, &doorman->port);
		if (result == pcclSuccess || result == pcclOutOfMemory)
			return result;
	}
	pccl_address_text_port(address, text);
	if (last > first)
		pccl_fail(result, "no port free from %s to %u; the last try: %s", text, last, pccl_fail_text());
	return result;
}

pcclResult_t pccl_doorman_create(struct pccl_loop *loop, const struct pccl_transport *transport,
				 const struct pccl_address *address, uint16_t port_last, uint64_t timeout_ns,
				 void (*arrived)(void *context, struct pccl_stream *stream,
						 const struct pccl_hello *hello),
				 void *context, struct pccl_doorman **doorman_out)
{
	struct pccl_doorman *doorman = pccl_zalloc(sizeof(*doorman));
	pcclResult_t result;

	*doorman_out = NULL;
	if (doorman == NULL)
		return pcclOutOfMemory;
	doorman->loop = loop;
	doorman->transport = transport;
	doorman->timeout_ns = timeout_ns;
	doorman->arrived = arrived;
	doorman->context = context;
	doorman->timer.fire = on_timeout;
	doorman->timer.context = doorman;
	result = listen_in_range(doorman, address, port_last);
	if (result != pcclSuccess) {
		pccl_free(doorman);
		return result;
	}
	*doorman_out = doorman;
	return pcclSuccess;
}

uint16_t pccl_doorman_port(const struct pccl_doorman *doorman)
{
	return doorman->port;
}

void pccl_doorman_destroy(struct pccl_doorman *doorman)
{
	if (doorman == NULL)
		return;
	doorman->listener->transport->close_listener(doorman->listener);
	while (doorman->oldest != NULL) {
		struct guest *guest = doorman->oldest;

		guest->stream->transport->close(guest->stream, false);
		unlist(guest);
		pccl_free(guest);
	}
	pccl_loop_timer_clear(doorman->loop, &doorman->timer);
	pccl_free(doorman);
}
