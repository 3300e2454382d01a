/* The inside of an engine, which is one stream; shared by the engine_*.c files. */
#ifndef PCCL_TRANSPORT_ENGINE_INTERNAL_H
#define PCCL_TRANSPORT_ENGINE_INTERNAL_H

#include "base/time.h"
#include "transport/engine/engine.h"
#include "transport/engine/socket.h"
#include "transport/guard.h"

#define PCCL_ENGINE_QUEUE_FRAMES 64
#define PCCL_ENGINE_QUEUE_BYTES (1u << 20) /* send() is refused when this much is queued */
#define PCCL_ENGINE_BUFFER_BYTES 16384u
#define PCCL_ENGINE_LINGER_NS PCCL_SECOND_NS /* to send the rest after close(), and to hear that it has arrived */

enum pccl_engine_state {
	PCCL_ENGINE_CONNECTING,
	PCCL_ENGINE_SHAKING, /* connected and attached; the handshake is not done */
	PCCL_ENGINE_DETACHED,
	PCCL_ENGINE_OPEN,
	PCCL_ENGINE_BROKEN,   /* waits for the user's close() */
	PCCL_ENGINE_LINGERING /* closed by the user; sends the rest */
};

/* A frame that waits to be written. */
struct pccl_engine_outgoing {
	struct pccl_frame frame;
	uint8_t header[PCCL_FRAME_BYTES]; /* valid when sealed */
	const uint8_t *payload;
	uint8_t *copy; /* owned; `payload` points to it after forget() or close(); else NULL */
	void *token;
	bool sealed;	/* checksum computed, header encoded */
	bool completed; /* sent() has been called */
};

enum pccl_engine_phase {
	PCCL_ENGINE_HEADER,  /* the next bytes are a header */
	PCCL_ENGINE_PAYLOAD, /* payload to its destination */
	PCCL_ENGINE_BIN,     /* payload that nobody wants */
	PCCL_ENGINE_HELD     /* header() said HOLD for `frame` */
};

struct pccl_engine {
	struct pccl_stream base;
	enum pccl_engine_state state;
	struct pccl_loop *loop; /* NULL: detached */
	struct pccl_watch watch;
	struct pccl_watch bell; /* of the bytes; fd -1: there is none */
	const struct pccl_byte_calls *bytes;
	void *bytes_state;
	bool begun;	    /* bytes->begin() has been called */
	bool has_shut_down; /* bytes->shut_down() is done */
	bool shaken;	    /* the handshake is done */
	bool accepted;
	const struct pccl_stream_events *events;
	void *context;
	struct pccl_guard *guard;
	struct pccl_address remote;
	char doom[192]; /* not empty: it will break with this reason at the end of the turn */

	/* Sending. */
	struct pccl_engine_outgoing queue[PCCL_ENGINE_QUEUE_FRAMES];
	uint32_t queue_head;	/* index of the oldest frame */
	uint32_t queue_count;	/* frames */
	uint32_t written_count; /* of those, frames that the kernel has wholly: their sent() is due */
	size_t part_written;	/* bytes of the next frame that the kernel has, header included */
	size_t queued_bytes;	/* not written yet, headers included */
	bool writable;		/* the kernel has not said that its buffer is full */
	int write_error;	/* errno; not 0: nothing more is written, but what came in is still read */
	bool room_wanted;	/* send() was refused */
	struct pccl_hook write_hook;

	/* Receiving. */
	enum pccl_engine_phase phase;
	struct pccl_frame frame; /* the one that is being received, or held */
	uint8_t *destination;
	uint32_t payload_got;  /* bytes of the payload received */
	uint32_t payload_crc;  /* of those */
	bool readable;	       /* the kernel may have more */
	bool read_to_end;      /* the other side has hung up: read until the kernel says so */
	uint32_t buffer_begin; /* first byte not consumed */
	uint32_t buffer_end;
	uint32_t window; /* how far to read past the frame at hand: little if frames are large, for what lands in the
			  * buffer is copied once more; much if they are small, to save system calls */
	struct pccl_hook read_hook;

	struct pccl_timer linger;
	struct pccl_leftover leftover;
	struct pccl_stream_counters counters;
	uint8_t buffer[PCCL_ENGINE_BUFFER_BYTES];
};

/* engine_send.c. */
bool pccl_engine_has_room(const struct pccl_engine *engine);
/* Calls sent() for all that is queued. False: the stream is gone. */
bool pccl_engine_complete_all(struct pccl_engine *engine);
/* Writes what is taken, all of it if `all`, else by one call; no callback. Frames that have completed
 * leave the queue. False: the connection is broken for writing, errno says why. */
bool pccl_engine_write(struct pccl_engine *engine, bool all);
/* Has what the bytes keep of it written on. False: some is left. */
bool pccl_engine_flush(struct pccl_engine *engine);
/* Gives every queued payload a private copy. False: out of memory. */
bool pccl_engine_own_payloads(struct pccl_engine *engine);
/* Frees the copies, empties the queue. */
void pccl_engine_drop_queue(struct pccl_engine *engine);
void pccl_engine_write_hook(struct pccl_hook *hook);

/* engine_receive.c. */
void pccl_engine_receive(struct pccl_engine *engine);
void pccl_engine_read_hook(struct pccl_hook *hook);

/* engine.c. Completes all sends and calls broken(); from the loop only. The stream may be gone afterwards. */
void pccl_engine_break(struct pccl_engine *engine, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for an error that a system call gave. */
void pccl_engine_break_lost(struct pccl_engine *engine, int error);
/* The same at the end of the turn, for use inside slots. */
void pccl_engine_doom(struct pccl_engine *engine, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The remote address with port. */
void pccl_engine_remote_text(const struct pccl_engine *engine, char out[PCCL_ADDRESS_PORT_BYTES]);

/* A stream around a socket, detached. NULL: out of memory, fd still the caller's. */
struct pccl_engine *pccl_engine_new(const struct pccl_transport *transport, int fd, const struct pccl_address *remote);
/* The socket is connected: the bytes begin. Fails with the cause in words. */
pcclResult_t pccl_engine_begin(struct pccl_engine *engine, bool dialled);
/* Goes on with the handshake, and opens the stream when it is done. */
void pccl_engine_shake(struct pccl_engine *engine);

#endif
