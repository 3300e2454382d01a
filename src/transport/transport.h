/*
 * A wire: how frames get from process to process. One table of functions per wire; TCP is the first, TLS, RDMA and
 * shared memory fit the same slots. One test suite runs against all of them (tests/unit/transport/transport_suite.h).
 *
 * A *stream* carries frames both ways in order. All calls on a stream, and all its callbacks, are on the thread of the
 * loop it belongs to. No slot blocks. Callbacks may call any slot, close() included.
 */
#ifndef PCCL_TRANSPORT_TRANSPORT_H
#define PCCL_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pccl.h>

#include "base/frame.h"
#include "base/identity.h"
#include "transport/address.h"
#include "transport/loop/loop.h"

#define PCCL_STREAM_DESCRIBE_BYTES 256 /* enough for describe() */

struct pccl_transport;
struct pccl_byte_calls;

/* First field of every transport's stream and listener; the rest is the transport's. */
struct pccl_stream {
	const struct pccl_transport *transport;
	bool unfit; /* once it broke: because the two sides are not secured alike, so another one would break, too */
	bool in_memory; /* what is sent is laid down there: no system call while the other side is awake */
};

struct pccl_listener {
	const struct pccl_transport *transport;
};

/* What has passed over a stream, headers included. */
struct pccl_stream_counters {
	uint64_t sent_bytes;	 /* handed to the kernel or the device */
	uint64_t received_bytes; /* read so far, incomplete frames included */
	uint64_t heard_ns; /* loop time of the last byte that came in, or when the connection came up; 0: it is not */
	uint64_t acked_bytes; /* of those sent, what the other side's kernel or device has; and ... */
	uint64_t acked_ns;    /* ... when it last acknowledged anything, new or old; 0: that is not known */
	/* How fast the way is, whoever sends and reads: the time that the network took for the bytes acknowledged, not
	 * counting waits for the other side to read; and how fast the last ones went. Both 0 where a wire doesn't
	 * know. */
	uint64_t network_ns;
	uint64_t bytes_per_second;
	uint64_t trip_ns; /* there and back at best, lately; 0 where a wire doesn't know */
	bool awaits; /* the other side's acknowledgement of what the network has had; false where a wire doesn't know */
};

/* What the user of a stream wants to hear. */
struct pccl_stream_events {
	/* The connection asked for with dial() is up (never called for an accepted stream). NULL for those. */
	void (*opened)(void *context, struct pccl_stream *stream);
	/* A header came. *destination_out: where the payload goes (not asked for when payload_bytes is 0). HOLD:
	 * nothing is read until resume(), which asks again. REJECT: the stream breaks with pccl_fail_text() as its
	 * reason. */
	enum pccl_frame_verdict (*header)(void *context, struct pccl_stream *stream, const struct pccl_frame *frame,
					  void **destination_out);
	/* The payload of the taken frame is in place, its checksum right; at once after header() for a frame without
	 * payload. Not called for a discarded frame. */
	void (*received)(void *context, struct pccl_stream *stream, const struct pccl_frame *frame);
	/* send() would be accepted again after it was refused. */
	void (*room)(void *context, struct pccl_stream *stream);
	/* Exactly one per accepted send: the payload is not read any more (handed to the kernel, or the stream closed).
	 * Never from inside send(). */
	void (*sent)(void *context, struct pccl_stream *stream, void *token);
	/* The stream broke; `reason` in words ("connection reset by 203.0.113.7:4242"). All sends have completed
	 * before. The user calls close() then (or later). Not called for a stream that the user closed. Only from the
	 * loop, never from inside a slot. What had come in before the break has been delivered. */
	void (*broken)(void *context, struct pccl_stream *stream, const char *reason);
};

#define PCCL_BOND_NAME_BYTES 64

/* What a protected stream knows of its two ends. */
struct pccl_bond {
	struct pccl_binding binding;
	char name
		[PCCL_BOND_NAME_BYTES]; /* the common name in the other side's certificate; "": it has none, or one that
					  * is longer or no text */
};

struct pccl_transport {
	const char *name;
	const struct pccl_byte_calls *bytes; /* of wires that are an engine (engine/engine.h); else NULL */
	bool seals; /* nothing that it carries can be changed on the way without breaking the stream */

	/* Listens on `address` (port 0: any); *port_out is the port bound. accepted() gets each new stream, which has
	 * no events yet and reads nothing: attach() it, or close() it. "::" serves IPv4 too. Failure: pcclSystemError
	 * with the address and the cause. */
	pcclResult_t (*listen)(const struct pccl_transport *self, struct pccl_loop *loop,
			       const struct pccl_address *address,
			       void (*accepted)(void *context, struct pccl_stream *stream), void *context,
			       struct pccl_listener **listener_out, uint16_t *port_out);
	/* Safe inside accepted(). Accepted streams live on. */
	void (*close_listener)(struct pccl_listener *listener);

	/* Starts connecting, from that address of this host (without port; NULL: whichever the system wants); opened()
	 * or broken() follows, never from inside this call. The caller bounds the time. send() is refused until
	 * opened(). */
	pcclResult_t (*dial)(const struct pccl_transport *self, struct pccl_loop *loop,
			     const struct pccl_address *address, const struct pccl_address *from,
			     const struct pccl_stream_events *events, void *context, struct pccl_stream **stream_out);

	/* Moves a stream to a loop and a user. It must be detached (fresh from accepted(), or after detach()). Called
	 * on the new loop's thread; the first callback comes later. On failure (pcclSystemError) it is detached still.
	 */
	pcclResult_t (*attach)(struct pccl_stream *stream, struct pccl_loop *loop,
			       const struct pccl_stream_events *events, void *context);
	/* Takes the stream off its loop, inside opened() or received() and with nothing queued to send; later frames
	 * wait for the next user. A detached stream belongs to no thread: whoever holds it may attach() or close() it.
	 */
	void (*detach)(struct pccl_stream *stream);

	/* Queues one frame; the transport computes payload_crc if that is 0, unless the frame is UNCHECKED. Returns
	 * true if accepted (sent() will follow, with `token`), false if the stream has no room (room() will follow), is
	 * not open yet or broken. Writes as soon as the loop's turn ends, so that frames share system calls; the
	 * payload must not change until sent(). */
	bool (*send)(struct pccl_stream *stream, const struct pccl_frame *frame, const void *payload, void *token);
	/* The payloads of some queued frames are about to become invalid. replace() is asked about each: true if its
	 * token's is, and *frame, as it was queued, is turned into the frame without payload that is sent instead. A
	 * half-sent frame is finished from a private copy. sent() is called for each at once. */
	void (*forget)(struct pccl_stream *stream,
		       bool (*replace)(void *context, void *token, struct pccl_frame *frame), void *context);
	/* Goes on after HOLD, later in this turn of the loop; nothing if the stream is not held. */
	void (*resume)(struct pccl_stream *stream);
	/* Redirects the payload that is being received, if any, to the bin: its destination is about to become invalid.
	 * The frame then counts as discarded. Returns whether there was one, and its header. */
	bool (*divert)(struct pccl_stream *stream, struct pccl_frame *frame_out);

	/* Local and remote address, what is queued, bytes moved; one line for people. */
	void (*describe)(const struct pccl_stream *stream, char *text, size_t text_bytes);
	void (*count)(const struct pccl_stream *stream, struct pccl_stream_counters *counters_out);
	/* The addresses of both ends of an open stream, as this side sees them. False: they are not known. */
	bool (*ends)(const struct pccl_stream *stream, struct pccl_address *local_out, struct pccl_address *remote_out);
	/* The remote address, numeric without port. */
	void (*remote)(const struct pccl_stream *stream, char out[PCCL_ADDRESS_BYTES]);

	/* Of an open stream. False: it is not protected, or has no such thing for want of memory. */
	bool (*bond)(const struct pccl_stream *stream, struct pccl_bond *bond_out);

	/* Closes: what is queued is dropped (flush true: sent first, within a second, from private copies where need
	 * be), all sends complete, no callback afterwards, the memory is the transport's again. Safe inside callbacks.
	 */
	void (*close)(struct pccl_stream *stream, bool flush);
};

#endif
