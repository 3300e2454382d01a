/* The inside of a link, shared by the link_*.c files: one struct per stream, with the log that makes it resumable. */
#ifndef PCCL_TRANSPORT_LINK_STREAM_H
#define PCCL_TRANSPORT_LINK_STREAM_H

#include "base/time.h"
#include "transport/guard.h"
#include "transport/link/link.h"
#include "transport/link/share.h"
#include "transport/link/still.h"

#define PCCL_LINK_REASON_BYTES 256
#define PCCL_LINK_ACK_DELAY_NS (5 * PCCL_MS_NS)
/* Flag of a PCCL_FRAME_ACK that stands for a frame which was taken back: it counts as a frame and says nothing. */
#define PCCL_FRAME_PLACEHOLDER 0x80u

/* A frame that the neighbour has not acknowledged. */
struct pccl_link_entry {
	struct pccl_frame_send send;
	bool in_transport;		       /* the transport may still read the payload */
	bool forgotten;			       /* `send` is a placeholder */
	uint8_t copied[PCCL_FRAME_COPIED_MAX]; /* the payload of a frame without cookie */
};

enum pccl_link_state {
	PCCL_LINK_DOWN,	    /* waits for the time to dial, or for the neighbour to dial */
	PCCL_LINK_DIALLING, /* nobody is connected */
	PCCL_LINK_GREETING, /* HELLO is sent, WELCOME awaited; other places are still being dialled */
	PCCL_LINK_UP
};

struct pccl_link_stream {
	struct pccl_link *link;
	uint16_t index;
	enum pccl_link_state state;
	bool was_up;		    /* has been up at least once */
	bool is_local;		    /* what is sent does not leave this host */
	bool has_room;		    /* the transport has not refused a frame */
	struct pccl_stream *stream; /* NULL: none */

	/* Sending. Counts of frames; they wrap. acked <= claimed <= cursor <= logged <= acked + PCCL_LINK_LOG_FRAMES.
	 */
	struct pccl_link_entry *log; /* ring, by count modulo its size */
	const void **cookies;	     /* of its frames, close to each other: all are looked at whenever an op ends */
	uint32_t acked;		     /* out of the log */
	uint32_t claimed;	     /* the neighbour says it has received */
	uint32_t cursor;	     /* handed to the present stream, or received over an earlier one */
	uint32_t logged;

	/* Receiving. */
	uint32_t received;
	uint32_t reported;	   /* what the neighbour has last been told of `received` */
	uint32_t unreported_bytes; /* of the frames between the two */
	bool accepted;		   /* the payload of `frame` is on its way to a destination of the user's */
	struct pccl_frame frame;

	/* Connecting. */
	uint32_t hellos;	 /* said to the neighbour; the number of the next */
	uint32_t hellos_known;	 /* of the neighbour: those with lower numbers are old */
	bool dialled;		 /* the present connection, or the last one, by this side */
	uint64_t hello_ns;	 /* GREETING: since when */
	uint32_t received_at_up; /* `received` and `claimed` when the stream came up last; to see that it moves */
	uint32_t claimed_at_up;
	uint32_t fruitless_count; /* times in a row that it came up with frames to send, and nothing had moved before */
	uint64_t backoff_ns;	  /* until the next attempt */
	uint64_t since_ns;	  /* when the deadline was set */
	uint64_t deadline_ns;	  /* the link is lost if the stream is not up by then, */
	uint64_t answer_end_ns;	  /* or by then, if HELLO was said late; 0: none was said */
	uint64_t attempt_end_ns;
	struct pccl_dialler dialler;
	uint32_t begin;		 /* where in the dialler's order the next attempt begins; 0 where there are no ways */
	uint32_t put_off_count;	 /* how often in a row it was refused for now */
	uint64_t up_ns;		 /* UP: since when */
	uint64_t lasted_ns;	 /* the last time that it was up */
	bool cut;		 /* it is down because it was silent; that is nothing fruitless */
	uint32_t cut_count;	 /* how often in a row, with no frame that moved in between */
	bool was_home;		 /* it has been up on its own way, */
	bool proved;		 /* much was acknowledged on the present connection */
	struct pccl_share share; /* where there are ways */
	struct pccl_still still; /* likewise */
	uint32_t place;		 /* index of the one that is, or was last, connected */
	struct pccl_timer timer; /* next attempt, its end or that of the greeting, or the deadline */
	struct pccl_timer ack_timer;
	uint8_t hello[PCCL_HELLO_BYTES];
	uint8_t greeting[PCCL_GREETING_BYTES]; /* that was sent */
	char text[PCCL_WELCOME_TEXT_BYTES];    /* what WELCOME says, not terminated */
	char reason[PCCL_LINK_REASON_BYTES];   /* why the last stream broke or the last attempt failed */
};

/* Of a link whose first places are ways. A stream's own way is the one that its number and the lane's come to. */
struct pccl_link_ways {
	struct pccl_timer timer; /* while frames are under way, or a stream is not on its own */
	uint64_t look_ns;	 /* when it is due */
	uint32_t frame_bytes;	 /* of frames lately */
	bool told;		 /* that a stream is not on its own way */
	uint64_t home_since_ns;	 /* all are; 0: not all */
	uint64_t trial_ns;	 /* when to look next whether one can go back, */
	uint64_t wait_ns;	 /* how long after that again */
	uint16_t trial_stream;	 /* which */
	struct pccl_dialler trial;
};

struct pccl_link {
	struct pccl_link_config config;
	const struct pccl_link_events *events;
	void *context;
	struct pccl_guard *guard;
	struct pccl_hook hook;	      /* acknowledges, pops, announces, pulls */
	struct pccl_timer lost_timer; /* brings lost() */
	char lost_reason[2 * PCCL_LINK_REASON_BYTES];
	bool lost;
	bool up;     /* all streams have been up */
	bool broken; /* none is up, and the user knows */
	bool pulling;
	bool asked;	     /* in the last pull: for a frame */
	uint64_t pull_ns;    /* the loop's turn that asked last, */
	uint32_t pull_count; /* how often it did */
	bool pending_valid;
	struct pccl_frame_send pending; /* pulled, but its stream had no room after all */
	uint16_t turn;			/* index of the stream that gets the next frame */
	uint32_t place;			/* index of the one to be dialled first */
	bool leads;			/* its connections count when both sides have dialled */
	uint64_t instance;		/* as the other side is told */
	uint64_t other_instance;	/* the other side's; 0: not known yet */
	uint64_t heard_ns;		/* of streams that are gone */
	uint64_t trip_ns;		/* of those, the last that is known */
	struct pccl_link_ways ways;
	struct pccl_link_stream streams[];
};

/* link.c. Gives the link up: closes all streams; lost() follows. */
void pccl_link_lose(struct pccl_link *link, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Is the other side's link still the one that this one knows? If it was made anew before anything passed, it is from
 * now on, and streams to the old one go, but the one `on` which that is said. */
bool pccl_link_knows(struct pccl_link *link, uint64_t instance, const struct pccl_link_stream *on);
/* Does what goes over the connection stay in the memory of this host? Both sides run on one kernel, both ends have one
 * address, and the other end has the port that the other side says, so that nobody is in between. */
bool pccl_link_stream_stays(const struct pccl_link_stream *ls, uint64_t host, uint16_t port);

/* link_log.c. Is the number one that the neighbour may claim? `limit` is the count of frames it can have. */
bool pccl_link_may_claim(const struct pccl_link_stream *ls, uint32_t claim, uint32_t limit);
/* Takes acknowledged frames out of the log and tells the user. False: the link is gone. */
bool pccl_link_pop(struct pccl_link_stream *ls);
/* After a pull by itself, the last thing that is done: tells, and may be destroyed. */
void pccl_link_pulled(struct pccl_link *link);
/* Counts a frame that came in; sees to it that it is acknowledged. */
void pccl_link_count_received(struct pccl_link_stream *ls, uint32_t payload_bytes);
/* Acknowledges what is not reported, if it is much (`all`: whatever it is). */
void pccl_link_acknowledge(struct pccl_link_stream *ls, bool all);
/* Do segments that this stream carries get checksums? */
bool pccl_link_stream_checks(const struct pccl_link_stream *ls);
/* Hands `send` to the stream, with the present count of received frames. False: no room. */
bool pccl_link_hand_over(struct pccl_link_stream *ls, const struct pccl_frame_send *send, void *token);
void pccl_link_log_forget(struct pccl_link_stream *ls, const void *cookie);

/* link_greet.c. Of a stream that has just been attached. */
void pccl_link_say_hello(struct pccl_link_stream *ls);
/* Without a proof the other side refuses. */
bool pccl_link_prove(const struct pccl_link_stream *ls, enum pccl_role role, struct pccl_proof *proof_out);
/* Did the neighbour answer, and nobody else? Who proves wants proof. */
bool pccl_link_is_neighbour(const struct pccl_link_stream *ls, const struct pccl_greeting *greeting);

/* link_ways.c. Where there are no ways, what follows is as if there were none of it. Tells the dialler where to begin.
 */
void pccl_link_order(struct pccl_link_stream *ls);
/* An attempt is at its end, and not all places had their turn: the next one goes on there. */
void pccl_link_goes_on(struct pccl_link_stream *ls);
/* The place it has now leads nowhere: the next attempt begins with the one after it. */
void pccl_link_goes_elsewhere(struct pccl_link_stream *ls);
/* Who answers refuses for now. May it be somebody else, so that other places are to be asked as well? */
bool pccl_link_asks_on(struct pccl_link_stream *ls);
/* May the stream take another new frame, or is it for one that would deliver it sooner? */
bool pccl_link_may_take(const struct pccl_link_stream *ls);
/* It has been given one, of so many payload bytes; the one with that count was acknowledged; will not be, for it was
 * taken back. */
void pccl_link_took(struct pccl_link_stream *ls, uint32_t payload_bytes);
void pccl_link_was_acked(struct pccl_link_stream *ls, uint32_t count, uint32_t payload_bytes);
void pccl_link_took_back(struct pccl_link_stream *ls, uint32_t count, uint32_t payload_bytes);
/* The stream has come up, or is down. */
void pccl_link_ways_up(struct pccl_link_stream *ls);
void pccl_link_ways_down(struct pccl_link_stream *ls);
void pccl_link_ways_start(struct pccl_link *link);
void pccl_link_ways_stop(struct pccl_link *link);

/* link_stream.c. Starts dialling, or waiting. */
void pccl_link_stream_start(struct pccl_link_stream *ls);
void pccl_link_stream_adopt(struct pccl_link_stream *ls, struct pccl_stream *stream, const struct pccl_hello *hello);
/* Of a stream that is up: drops it and dials again, until the deadline. */
void pccl_link_stream_renew(struct pccl_link_stream *ls, uint64_t deadline_ns);
/* Likewise, for it is to go elsewhere, for that reason. */
void pccl_link_stream_move(struct pccl_link_stream *ls, uint64_t deadline_ns, const char *why);
/* The other side has forgotten what it has said on it; and the connection (`closes`), if there is one. */
void pccl_link_stream_disown(struct pccl_link_stream *ls, bool closes);
/* Closes, tells the user about an accepted frame that will not come. */
void pccl_link_stream_drop(struct pccl_link_stream *ls);

#endif
