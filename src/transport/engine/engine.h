/*
 * The frame engine: the slots of a transport over connected sockets, in whatever way bytes go over these: plainly
 * (tcp/tcp.c), or through something that changes them on the way (tls/). A wire of this kind is a table of bytes, and a
 * transport that names it: PCCL_ENGINE_SLOTS.
 */
#ifndef PCCL_TRANSPORT_ENGINE_H
#define PCCL_TRANSPORT_ENGINE_H

#include <sys/types.h>
#include <sys/uio.h>

#include "transport/transport.h"

enum pccl_shake {
	PCCL_SHAKE_GOES_ON,
	PCCL_SHAKE_DONE,
	PCCL_SHAKE_FAILED,
	PCCL_SHAKE_UNFIT /* it failed, and would again: the two sides are not secured alike */
};

/* How bytes go over a connected socket. No call blocks; an interrupted one is repeated inside. */
struct pccl_byte_calls {
	/* What the wire keeps for a connection: made when the socket is connected, ended before it is closed. Both NULL
	 * if it keeps nothing. On failure the cause is in words. */
	pcclResult_t (*begin)(const struct pccl_transport *self, int fd, bool dialled, void **state_out);
	void (*end)(void *state);
	/* The handshake: called before all that follows, first after begin(), then whenever the loop tells of the
	 * socket, until it is done or has failed (the cause is in words). NULL: there is none. */
	enum pccl_shake (*shake)(void *state, int fd);
	/* As recvmsg(2) and sendmsg(2): how many bytes; 0: the other side has shut down; -1 and errno, EAGAIN if there
	 * is nothing, or no room, until the loop tells of the socket; EPROTO from read(): the cause is in words.
	 * *more_out: the next call may get on without that.
	 */
	ssize_t (*read)(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out);
	ssize_t (*write)(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out);
	/* The next byte that has come, which stays there: as read(). For wires that lie over this one; may be NULL. */
	ssize_t (*peek)(void *state, int fd, uint8_t *byte_out);
	/* As read(), but what came is thrown away. */
	ssize_t (*discard)(void *state, int fd, size_t bytes, bool *more_out);
	/* Writes on what write() took and keeps still. False: some is left, and the loop tells when there is room.
	 * NULL: write() keeps nothing. */
	bool (*flush)(void *state, int fd);
	/* Nothing more is written: after what was, the other side's read() returns 0. False: to be called again when
	 * there is room. */
	bool (*shut_down)(void *state, int fd);
	/* Has the other side's device all that was written? False: the loop tells when more is there. NULL: the kernel
	 * brings it there, also after end(), and knows. */
	bool (*has_arrived)(void *state);
	/* After the handshake: have both sides said in it that they want to hear offers before the first frame? For
	 * wires that lie over this one. NULL: who is dialled looks for them himself. */
	bool (*hears_offers)(const void *state);
	/* As the slot of a transport; after the handshake. NULL: bytes are not protected. */
	bool (*bond)(const void *state, struct pccl_bond *bond_out);
	/* Fills in what is known of the way; false: the kernel knows. NULL: it always does. */
	bool (*count)(void *state, uint64_t now_ns, struct pccl_stream_counters *counters);
	/* What people call the way that bytes go, once the handshake is done. NULL: as the transport. */
	const char *(*name)(const void *state);
	/* A descriptor beside the socket that something to read comes to whenever either direction may get on, or the
	 * handshake: looked for after each shake(), and changed by nothing else. -1: none. NULL: never any. */
	int (*bell)(const void *state);
	/* Empties it: before anything that follows from that, and nobody else may, for the direction that waits would
	 * not be told. NULL: the engine reads from it. */
	void (*hear_bell)(void *state);
	/* The loop has told that the other side has hung up, or that the connection is broken. May be NULL. */
	void (*note_end)(void *state);
};

/* Of all parts together. */
size_t pccl_engine_parts_bytes(const struct iovec *parts, size_t part_count);

/* The slots of a transport's table. */
pcclResult_t pccl_engine_listen(const struct pccl_transport *self, struct pccl_loop *loop,
				const struct pccl_address *address,
				void (*accepted)(void *context, struct pccl_stream *stream), void *context,
				struct pccl_listener **listener_out, uint16_t *port_out);
pcclResult_t pccl_engine_dial(const struct pccl_transport *self, struct pccl_loop *loop,
			      const struct pccl_address *address, const struct pccl_address *from,
			      const struct pccl_stream_events *events, void *context, struct pccl_stream **stream_out);
void pccl_engine_close_listener(struct pccl_listener *listener);
pcclResult_t pccl_engine_attach(struct pccl_stream *stream, struct pccl_loop *loop,
				const struct pccl_stream_events *events, void *context);
void pccl_engine_detach(struct pccl_stream *stream);
bool pccl_engine_send(struct pccl_stream *stream, const struct pccl_frame *frame, const void *payload, void *token);
void pccl_engine_forget(struct pccl_stream *stream,
			bool (*replace)(void *context, void *token, struct pccl_frame *frame), void *context);
void pccl_engine_resume(struct pccl_stream *stream);
bool pccl_engine_divert(struct pccl_stream *stream, struct pccl_frame *frame_out);
void pccl_engine_describe(const struct pccl_stream *stream, char *text, size_t text_bytes);
void pccl_engine_count(const struct pccl_stream *stream, struct pccl_stream_counters *counters_out);
bool pccl_engine_ends(const struct pccl_stream *stream, struct pccl_address *local_out,
		      struct pccl_address *remote_out);
void pccl_engine_remote(const struct pccl_stream *stream, char out[PCCL_ADDRESS_BYTES]);
bool pccl_engine_bond(const struct pccl_stream *stream, struct pccl_bond *bond_out);
void pccl_engine_close(struct pccl_stream *stream, bool flush);

#define PCCL_ENGINE_SLOTS                                                                                     \
	.listen = pccl_engine_listen, .dial = pccl_engine_dial, .close_listener = pccl_engine_close_listener, \
	.attach = pccl_engine_attach, .detach = pccl_engine_detach, .send = pccl_engine_send,                 \
	.forget = pccl_engine_forget, .resume = pccl_engine_resume, .divert = pccl_engine_divert,             \
	.describe = pccl_engine_describe, .count = pccl_engine_count, .ends = pccl_engine_ends,               \
	.remote = pccl_engine_remote, .bond = pccl_engine_bond, .close = pccl_engine_close

#endif
