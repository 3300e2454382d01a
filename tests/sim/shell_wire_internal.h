/* What the files of the virtual wire share: shell_wire.c moves frames, shell_wire_ends.c connects and closes. */
#ifndef PCCL_SIM_SHELL_WIRE_INTERNAL_H
#define PCCL_SIM_SHELL_WIRE_INTERNAL_H

#include "shell.h"
#include "shell_wire.h"
#include "transport/guard.h"

#define STALL_NS (40 * SIM_MS) /* how often a stalled wire is tried again */

enum wire_state { WIRE_DIALLING, WIRE_KNOCKING, WIRE_DETACHED, WIRE_OPEN, WIRE_BROKEN, WIRE_CLOSED };

/* A frame between send() and its delivery. The first ones of a wire are in the kernel, the rest is the user's. */
struct flight {
	struct pccl_frame frame;
	const uint8_t *payload; /* as it was lent; NULL: none, or it has been taken back */
	uint8_t *copy;		/* of the payload when it was lent */
	void *token;
	bool completed; /* sent() has been called */
	struct flight *next;
};

/* One end of a connection: what a stream is to its user. */
struct wire {
	struct pccl_stream base;
	struct sim *sim;
	enum wire_state state;
	uint32_t node;
	uint32_t other_node;
	uint32_t card; /* of the node's */
	uint32_t other_card;
	struct wire *other; /* end; NULL: not connected yet */
	struct pccl_loop *loop;
	const struct pccl_stream_events *events;
	void *context;
	struct pccl_guard *guard;
	uint64_t dialled_ns; /* DIALLING: the answer comes then */

	/* Sending. */
	struct flight *first, *last;
	uint32_t count;
	uint32_t handed;  /* of those, in the kernel */
	bool half;	  /* the next one is there in part */
	uint64_t hand_ns; /* when the next one may go there */
	bool room_wanted;
	bool unchecked; /* what was lent is not there any more */

	/* Receiving what the other end has sent. */
	bool coming; /* the header was accepted, the payload is on its way */
	bool diverted;
	bool held;
	void *destination;
	uint64_t installs; /* of the lane, when it was accepted */
	uint64_t due_ns;   /* when the next part, or the end, is here */
	bool torn;	   /* of the payload that was coming the rest is lost */
	bool refused;	   /* likewise, whatever is cut */
	bool reset;	   /* the network has broken the connection */

	struct pccl_stream_counters counters;
	uint64_t delivered_bytes; /* of those sent; the acknowledgement may be stuck */
	uint64_t delivered_ns;
	uint64_t acked_bytes; /* where there are cards */
	uint64_t acked_ns;
	struct wire *next_attached;
	struct wire *next; /* of all */
};

struct pccl_listening {
	struct pccl_listener base;
	struct pccl_loop *loop;
	void (*accepted)(void *context, struct pccl_stream *stream);
	void *context;
};

/* shell_wire_ends.c */
struct wire *wire_of(struct pccl_stream *stream);
/* How long the next part takes. */
uint64_t wire_delay(const struct wire *wire);
/* At both ends, and not broken. */
bool wire_is_open(const struct wire *wire);
/* The other end has something to hear, or the end of it. */
void wire_tell_other(struct wire *wire);
/* Frames `from` to `to` - 1 are lost. The other end may be in the middle of the first. */
void wire_lose(struct wire *wire, uint32_t from, uint32_t to);
void wire_free_flight(struct flight *flight);
/* What a dialling or knocking wire does when it is its time. */
void wire_connect(struct wire *wire);
void wire_accept(struct wire *wire);

/* shell_wire_cards.c */
/* Does nothing come in, for now? Go out? */
bool wire_is_cut(const struct wire *wire);
bool wire_is_mute(const struct wire *wire);
/* The other side's kernel acknowledges what has come there, whoever reads it. */
void wire_note_acks(struct wire *wire);
/* Its address is another node's meanwhile, or nobody's who listens. */
void wire_find_stranger(struct wire *wire);

/* shell_wire.c: the slots of the same names, and what closing needs. */
bool wire_send(struct pccl_stream *stream, const struct pccl_frame *frame, const void *payload, void *token);
void wire_forget(struct pccl_stream *stream, bool (*replace)(void *context, void *token, struct pccl_frame *frame),
		 void *context);
void wire_resume(struct pccl_stream *stream);
bool wire_divert(struct pccl_stream *stream, struct pccl_frame *frame_out);
/* False: the wire is gone, or its user another. */
bool wire_complete_all(struct wire *wire);
/* What was being received has come in part. */
void wire_spoil(struct wire *wire);
void wire_break(struct wire *wire, const char *reason);

#endif
