/* The inside of a TCP stream, shared by the tcp_*.c files. */
#ifndef PCCL_TRANSPORT_TCP_STREAM_H
#define PCCL_TRANSPORT_TCP_STREAM_H

#include "transport/guard.h"
#include "transport/transport.h"

#define PCCL_TCP_QUEUE_FRAMES 64
#define PCCL_TCP_QUEUE_BYTES (1u << 20) /* send() is refused when this much is queued */
#define PCCL_TCP_BUFFER_BYTES 16384u
#define PCCL_TCP_LINGER_NS 1000000000u /* to send the rest after close(), and to hear that it has arrived */

enum pccl_tcp_state {
	PCCL_TCP_CONNECTING,
	PCCL_TCP_DETACHED,
	PCCL_TCP_OPEN,
	PCCL_TCP_BROKEN,   /* waits for the user's close() */
	PCCL_TCP_LINGERING /* closed by the user; sends the rest */
};

/* A frame that waits to be written. */
struct pccl_tcp_outgoing {
	struct pccl_frame frame;
	uint8_t header[PCCL_FRAME_BYTES]; /* valid when sealed */
	const uint8_t *payload;
	uint8_t *copy; /* owned; `payload` points to it after forget() or close(); else NULL */
	void *token;
	bool sealed;	/* checksum computed, header encoded */
	bool completed; /* sent() has been called */
};

enum pccl_tcp_phase {
	PCCL_TCP_HEADER,  /* the next bytes are a header */
	PCCL_TCP_PAYLOAD, /* payload to its destination */
	PCCL_TCP_BIN,	  /* payload that nobody wants */
	PCCL_TCP_HELD	  /* header() said HOLD for `frame` */
};

struct pccl_tcp_stream {
	struct pccl_stream base;
	enum pccl_tcp_state state;
	struct pccl_loop *loop; /* NULL: detached */
	struct pccl_watch watch;
	const struct pccl_stream_events *events;
	void *context;
	struct pccl_guard *guard;
	struct pccl_address remote;
	char doom[192]; /* not empty: it will break with this reason at the end of the turn */

	/* Sending. */
	struct pccl_tcp_outgoing queue[PCCL_TCP_QUEUE_FRAMES];
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
	enum pccl_tcp_phase phase;
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
	uint8_t buffer[PCCL_TCP_BUFFER_BYTES];
};

/* tcp_measure.c: adds to the counters what the kernel knows of the way. False: it tells nothing. */
bool pccl_tcp_measure(int fd, struct pccl_stream_counters *counters);

/* tcp_socket.c: options of a connected or connecting socket; what fails is not vital and only logged. */
void pccl_tcp_set_options(int fd);
/* Once connected: the congestion control that suits the way to the other side. Not vital either. */
void pccl_tcp_choose_congestion_control(int fd);
/* Both ends of a connected socket. False with errno: it is not connected. */
bool pccl_tcp_get_ends(int fd, struct pccl_address *local_out, struct pccl_address *remote_out);
/* A socket that listens; -1 and the cause in words on failure. */
int pccl_tcp_listening_socket(const struct pccl_address *address, uint16_t *port_out);
/* A socket that connects. *error_out: errno of a connect() that failed at once, else 0. -1: no socket at all. */
int pccl_tcp_connecting_socket(const struct pccl_address *address, int *error_out);
/* The error that waits on a connecting socket, also if it reached itself; 0: it is connected. */
int pccl_tcp_connect_error(int fd);
/* As recv(2), but what came is thrown away by the kernel, without a copy. */
ssize_t pccl_tcp_discard(int fd, size_t bytes);

/* tcp_send.c. */
bool pccl_tcp_has_room(const struct pccl_tcp_stream *tcp);
bool pccl_tcp_send(struct pccl_stream *stream, const struct pccl_frame *frame, const void *payload,
		   struct pccl_memory *memory, void *token);
void pccl_tcp_forget(struct pccl_stream *stream, bool (*match)(void *context, void *token), void *context);
/* Calls sent() for all that is queued. False: the stream is gone. */
bool pccl_tcp_complete_all(struct pccl_tcp_stream *tcp);
/* Writes what the kernel takes, all of it if `all`, else by one system call; no callback. Frames that have completed
 * leave the queue. False: the connection is broken for writing, errno says why. */
bool pccl_tcp_write(struct pccl_tcp_stream *tcp, bool all);
/* Gives every queued payload a private copy. False: out of memory. */
bool pccl_tcp_own_payloads(struct pccl_tcp_stream *tcp);
/* Frees the copies, empties the queue. */
void pccl_tcp_drop_queue(struct pccl_tcp_stream *tcp);
void pccl_tcp_write_hook(struct pccl_hook *hook);

/* tcp_receive.c. */
void pccl_tcp_receive(struct pccl_tcp_stream *tcp);
void pccl_tcp_resume(struct pccl_stream *stream);
bool pccl_tcp_divert(struct pccl_stream *stream, struct pccl_frame *frame_out);
void pccl_tcp_read_hook(struct pccl_hook *hook);

/* tcp.c. Completes all sends and calls broken(); from the loop only. The stream may be gone afterwards. */
void pccl_tcp_break(struct pccl_tcp_stream *tcp, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for an error that a system call gave. */
void pccl_tcp_break_lost(struct pccl_tcp_stream *tcp, int error);
/* The same at the end of the turn, for use inside slots. */
void pccl_tcp_doom(struct pccl_tcp_stream *tcp, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The remote address with port. */
void pccl_tcp_remote_text(const struct pccl_tcp_stream *tcp, char out[PCCL_ADDRESS_PORT_BYTES]);

/* tcp_listener.c. */
pcclResult_t pccl_tcp_listen(struct pccl_loop *loop, const struct pccl_address *address,
			     void (*accepted)(void *context, struct pccl_stream *stream), void *context,
			     struct pccl_listener **listener_out, uint16_t *port_out);
void pccl_tcp_close_listener(struct pccl_listener *listener);
/* tcp.c: a stream around a connected socket, detached. NULL: out of memory, fd still the caller's. */
struct pccl_tcp_stream *pccl_tcp_stream_new(int fd, const struct pccl_address *remote);

#endif
