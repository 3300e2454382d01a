/*
 * A link: all streams of one lane to one neighbour. It dials them, or waits half a second for the neighbour to dial and
 * then dials as well (crossing.h says which connection counts if both succeed), says HELLO, pulls frames from its user
 * for whichever stream has room, redials a stream that breaks and resends what the other side had not received, so
 * that every frame is delivered exactly once as long as the link lives. Gives up after connect_timeout_ns of dialling
 * in vain, redial_timeout_ns once it had been up, and when a stream has come up nine times in a row without moving a
 * frame, either way: then dialling does not help. The place that the neighbour answered at is dialled first the next
 * time. However long the timeout, it is some 40 times at most that a place is dialled in vain.
 *
 * How: each stream numbers its frames by counting them on both sides. Every header tells how many frames its sender has
 * received completely; until that covers a frame, it stays in the sender's log. HELLO and WELCOME tell the same number,
 * and the rest of the log is sent again.
 *
 * Loop thread only.
 */
#ifndef PCCL_TRANSPORT_LINK_H
#define PCCL_TRANSPORT_LINK_H

#include "transport/link/dialler.h"
#include "transport/link/hello.h"
#include "transport/transport.h"

#define PCCL_LINK_PLACES_MAX PCCL_DIALLER_PLACES_MAX
#define PCCL_LINK_LOG_FRAMES 1024u /* unacknowledged frames per stream; then nothing more is pulled for it */

struct pccl_link;

struct pccl_link_config {
	struct pccl_loop *loop;
	uint32_t group;
	pcclRankUuid_t self;
	pcclRankUuid_t neighbour;
	struct pccl_pass pass;				/* to be shown to it */
	struct pccl_signer signer;			/* proves to it who this is, where connections are protected */
	uint64_t host;					/* that this process runs on, see pccl_locality_host() */
	pcclChecksums_t checksums;			/* of segments; Default is Auto */
	char name[64];					/* of the neighbour, for errors: "rank 2 (203.0.113.7:4242)" */
	struct pccl_place places[PCCL_LINK_PLACES_MAX]; /* where the neighbour may listen; one at least if `dials` */
	uint32_t place_count;
	uint32_t way_count; /* so many places are ways from several cards (ways.h): streams are spread over them */
	bool dials;	    /* at once; else when the neighbour has not for a while */
	uint16_t lane;	    /* at most 255 */
	uint16_t streams;   /* at least 1 */
	uint64_t connect_timeout_ns; /* for a stream to come up the first time */
	uint64_t redial_timeout_ns;  /* and again; longer where round trips are long (base/time.h) */
};

/* Signs of life of a neighbour, over all streams. Times are monotonic. */
struct pccl_link_heard {
	uint64_t received_ns;	 /* of the last byte that was read, or when a stream came up last */
	uint64_t acked_ns;	 /* of the last acknowledgement of any bytes, new or old */
	uint64_t acked_bytes;	 /* grows with what is acknowledged; any change is a sign of life */
	uint64_t unacked_frames; /* that were pulled and are not acknowledged */
	uint64_t trip_ns;	 /* there and back, over the slowest; 0: not known */
};

/* next(), accept(), dropped() and broken() must not destroy the link; the others may. All come from the loop, but
 * next(), which pccl_link_kick() calls too, and dropped() and broken(), which pccl_link_adopt() may call. */
struct pccl_link_events {
	/* What to send next; false: nothing. Called when a stream has room. payload stays valid until acked() or
	 * forget. */
	bool (*next)(void *context, struct pccl_link *link, struct pccl_frame_send *send_out);
	/* As pccl_stream_events.header. DISCARD is final, REJECT loses the link. */
	enum pccl_frame_verdict (*accept)(void *context, struct pccl_link *link, const struct pccl_frame *frame,
					  void **destination_out);
	/* As pccl_stream_events.received. */
	void (*received)(void *context, struct pccl_link *link, const struct pccl_frame *frame);
	/* The payload of an accepted frame will not come: the frame comes again instead, if the link lives on. */
	void (*dropped)(void *context, struct pccl_link *link, const struct pccl_frame *frame);
	/* The neighbour has received the frame with this token. Not for a token of NULL, nor for a forgotten frame. */
	void (*acked)(void *context, struct pccl_link *link, void *token);
	/* The link has asked for frames though nobody kicked it: what has come of that besides frames? May be NULL. */
	void (*pulled)(void *context, struct pccl_link *link);
	/* All streams are up for the first time. */
	void (*up)(void *context, struct pccl_link *link);
	/* No stream is up any more, and the last one did not end by this side's will (false: one is up again). It is
	 * dialled again; but if the neighbour's process has ended, this is how that is seen, and at once. */
	void (*broken)(void *context, struct pccl_link *link, bool broken);
	/* The link is lost for good, nothing follows; the user destroys it, now or later. The reason names the
	 * neighbour, the address and the cause. */
	void (*lost)(void *context, struct pccl_link *link, const char *reason);
};

/* Creates the link and starts dialling or waiting; no callback from inside. Returns pcclOutOfMemory. */
pcclResult_t pccl_link_create(const struct pccl_link_config *config, const struct pccl_link_events *events,
			      void *context, struct pccl_link **link_out);

/* A stream from the neighbour arrived (detached, HELLO read; the link answers WELCOME): first time or redial. The link
 * takes it over in any case. */
void pccl_link_adopt(struct pccl_link *link, struct pccl_stream *stream, const struct pccl_hello *hello);

/* There is something to send: pull. Cheap if nothing has room. */
void pccl_link_kick(struct pccl_link *link);

/* An op is cancelled: no payload of sends with this cookie may be touched any more, no byte written to its
 * destinations: queued and unacknowledged frames lose their payload (a half-sent one is finished from a copy), a
 * payload being received goes to the bin. `belongs` tells whether a received frame belongs to it. */
void pccl_link_forget(struct pccl_link *link, const void *cookie,
		      bool (*belongs)(const void *cookie, const struct pccl_frame *frame));

/* Asks again about frames that accept() put on HOLD. */
void pccl_link_resume(struct pccl_link *link);

/* The neighbour is silent, though frames are under way: what stands between may have forgotten the connections. Streams
 * that are up and wait for acknowledgements are dialled anew; one that is not up again at `deadline_ns` loses the link,
 * as after redial_timeout_ns. May be repeated. */
void pccl_link_renew(struct pccl_link *link, uint64_t deadline_ns);

/* up() has been called and the link is not lost. A stream may be down for the moment. */
bool pccl_link_is_up(const struct pccl_link *link);
/* Do segments that are sent over some of the streams get checksums? By default those do that leave the host: all but
 * what goes to a process on this kernel over a connection without anybody in between, both ends of which have one
 * address, and what is sealed on the way. */
bool pccl_link_checks(const struct pccl_link *link);
/* The address here of a stream that is up and leaves the host. False: there is none. */
bool pccl_link_leaves(const struct pccl_link *link, struct pccl_address *local_out);
/* Are all streams up, and is what they carry laid down in memory, as pccl_stream says? */
bool pccl_link_in_memory(const struct pccl_link *link);
/* For the watch over silent neighbours. */
void pccl_link_heard(const struct pccl_link *link, struct pccl_link_heard *heard_out);
/* Adds what pccl_stream_counters says of the way, of the streams that are up now: when one breaks, the sums fall. */
void pccl_link_pace(const struct pccl_link *link, struct pccl_stream_counters *sums);
/* The transport state in words, for error texts. */
void pccl_link_describe(const struct pccl_link *link, char *text, size_t text_bytes);

/* Sends what is queued on streams that are up, as far as that is possible without waiting for long, and closes. The
 * payloads of unacknowledged frames must still be valid during the call. No callback any more. NULL is allowed. */
void pccl_link_destroy(struct pccl_link *link);

#endif
