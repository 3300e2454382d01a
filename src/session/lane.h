/*
 * What a lane decides: in which order its executor, its links and the session hear of a command or a frame; which
 * neighbours it has, and about whom it complains; how long a stream waits that came before its view. Pure: what moves
 * the bytes, takes locks and tells the time is behind a table of calls. An I/O thread (src/comm/lane_thread.c) and the
 * simulator drive it alike.
 *
 * All calls are made by one thread, or as if by one. Its executor belongs to the lane.
 */
#ifndef PCCL_SESSION_LANE_H
#define PCCL_SESSION_LANE_H

#include "session/session.h"
#include "session/silence.h"

#define PCCL_LANE_GUESTS_MAX 256u      /* streams of members of a view that is not installed here yet, of one lane */
#define PCCL_LANE_STRANGERS_MAX 1024u  /* that a lane has links to, and that are no members yet */
#define PCCL_LANE_GUESTS_OF_CALLER 16u /* and of one caller; as many as a lane has streams to a neighbour at most */
#define PCCL_LANE_VISITORS_MAX 16u     /* strangers that something goes to or comes from, of one lane */
#define PCCL_LANE_VISIT_SHARE 64u      /* while ops run, visitors get one byte for so many of theirs */
#define PCCL_LANE_VISIT_BYTES (256u << 10) /* of one frame, the most */

struct pccl_lane;
struct pccl_lane_link; /* the carrier's */

/* Another member, or this one itself. The context of a link's events. */
struct pccl_neighbour;

/* A stream that somebody has opened to this lane. The carrier's memory, which the lane has from pccl_lane_adopt() until
 * it calls adopt() or turn_away(). */
struct pccl_lane_guest {
	pcclRankUuid_t from;
	uint16_t stream;   /* which one of the caller's; a later call takes the place of an earlier one: */
	uint64_t instance; /* as HELLO says, and the next */
	uint32_t resumption;
	uint64_t until_ns; /* the lane's, as the next */
	struct pccl_lane_guest *next;
};

/* What a lane needs from below and above; none is NULL. `context` is that of the configuration. Unless it says so, none
 * may call the lane. */
struct pccl_lane_calls {
	/* ---- links ---- */

	/* A link to this member, or to one who may soon be one, which dials at once or gives the other time to dial.
	 * Its events are told with the pccl_neighbour_* calls, never from inside this one. On failure (the cause in
	 * pccl_fail_text()) *link_out is NULL. */
	pcclResult_t (*open)(void *context, struct pccl_neighbour *neighbour, const struct pccl_member *member,
			     bool dials, struct pccl_lane_link **link_out);
	/* No event any more. What is queued still goes out, as far as that does not take long: the payloads are valid
	 * during the call only. */
	void (*close)(struct pccl_lane_link *link);
	/* Something is to be sent: the link calls pccl_neighbour_next() while it has room. */
	void (*kick)(struct pccl_lane_link *link);
	/* Nothing of what was sent with this cookie may be read any more, nothing be written into memory that
	 * pccl_neighbour_accept() named for a frame that `belongs` to it: such a frame has come and is forgotten. */
	void (*forget)(struct pccl_lane_link *link, const void *cookie,
		       bool (*belongs)(const void *cookie, const struct pccl_frame *frame));
	/* Asks again about what was put on HOLD. */
	void (*resume)(struct pccl_lane_link *link);
	/* pccl_neighbour_up() has been called and the link is not lost. */
	bool (*is_up)(const struct pccl_lane_link *link);
	/* Do segments that are sent over it get checksums? */
	bool (*checks)(const struct pccl_lane_link *link);
	void (*heard)(const struct pccl_lane_link *link, struct pccl_heard *heard_out);
	/* What stands between may have forgotten its connections: makes new ones, until `deadline_ns`. May be
	 * repeated. */
	void (*renew)(struct pccl_lane_link *link, uint64_t deadline_ns);
	/* The guest's stream becomes one of the link's, or is refused. May call pccl_neighbour_dropped(). */
	void (*adopt)(struct pccl_lane_link *link, struct pccl_lane_guest *guest);
	/* Closes the guest's stream, and says why; NULL: at once, without a word. */
	void (*turn_away)(void *context, struct pccl_lane_guest *guest, const char *why);

	/* ---- the communicator, whose lock is nobody's now ---- */

	/* pccl_session_outcome(). */
	void (*outcome)(void *context, const struct pccl_exec_outcome *outcome);
	/* pccl_session_unpin(). */
	void (*unpin)(void *context, struct pccl_attempt *attempt);
	/* The lane has frozen: pccl_session_collect(). */
	void (*frozen)(void *context, const struct pccl_exec *exec);
	/* pccl_session_missed(), and what follows from that. */
	void (*missed)(void *context, const struct pccl_op_key *key);
	/* The group is to decide about an op whose deadline has passed. */
	void (*expired)(void *context, const struct pccl_op_key *key, const char *text);
	/* The member can't be reached. Comes again in each view that has it. */
	void (*complain)(void *context, const pcclRankUuid_t *member, const char *reason);
	/* It was silent, which was complained about, and has been heard again. */
	void (*retract)(void *context, const pcclRankUuid_t *member);
	/* The link to one who may soon be a member is up, or it can't be made or is lost: why. `number` is that of
	 * the last PCCL_COMMAND_MEET about it. */
	void (*met)(void *context, const pcclRankUuid_t *uuid, uint32_t number, const char *why_not);
	/* All streams to the member have broken, or one is up again. The former comes again in each view that has
	 * it. */
	void (*broken)(void *context, const pcclRankUuid_t *member, bool broken);
	/* All links of the view of this epoch are up: once per view. */
	void (*linked)(void *context, uint32_t epoch);
	/* The first op has begun, or the last one has ended. */
	void (*busy)(void *context, bool busy);
	/* The communicator can't go on, for the reason in pccl_fail_text(). */
	void (*give_up)(void *context, pcclResult_t result);
};

/* What travels between the same neighbours when the executor has nothing to send: frames of types of its own, in no
 * view. Its slots are as the executor's, see exec.h. May be NULL. */
struct pccl_lane_background {
	/* The members of the view that is in force now, by rank, after the links. Visitors: who there is now; this peer
	 * is none of them, `rank` is UINT32_MAX. */
	pcclResult_t (*install)(void *context, uint32_t ranks, uint32_t rank, const pcclRankUuid_t *uuids);
	/* The link to a rank is lost for good. */
	void (*lost)(void *context, uint32_t rank);
	bool (*ready)(void *context, uint32_t *rank_out);
	bool (*next)(void *context, uint32_t rank, struct pccl_frame_send *send_out);
	/* Is it a frame of such a type? */
	bool (*owns)(const void *context, const struct pccl_frame *frame);
	enum pccl_frame_verdict (*accept)(void *context, uint32_t rank, const struct pccl_frame *frame,
					  void **destination_out);
	void (*received)(void *context, uint32_t rank, const struct pccl_frame *frame);
	void (*dropped)(void *context, uint32_t rank, const struct pccl_frame *frame);
	/* The other side has the frame with this token, which is a multiple of 4: none of the executor's is. */
	void (*sent)(void *context, void *token);
	/* After each event: what has come of it? */
	void (*stir)(void *context);
	/* Now and then while it is busy, at least every heartbeat interval. */
	void (*look)(void *context, uint64_t now_ns);
};

struct pccl_lane_config {
	struct pccl_exec_config exec; /* but for `checks` */
	uint64_t heartbeat_interval_ns;
	uint64_t heartbeat_timeout_ns; /* silence that is complained about, while frames are under way */
	uint64_t guest_ns;	       /* how long a guest waits, whatever happens meanwhile */
	const struct pccl_lane_calls *calls;
	void *context;
	const struct pccl_lane_background *background;
	void *background_context; /* also the cookie of its frames */
	/* What travels to and from strangers, of whom some are visitors, numbered as ranks are: a background of its
	 * own, with frames of its own. May be NULL. */
	const struct pccl_lane_background *visits;
	void *visits_context;
};

/* Without a view and without neighbours. pcclOutOfMemory. */
pcclResult_t pccl_lane_create(const struct pccl_lane_config *config, struct pccl_lane **lane_out);

/* Closes all links, turns all guests away. Nothing but pccl_lane_destroy() may follow. */
void pccl_lane_close(struct pccl_lane *lane);

/* Frees, after pccl_lane_close(). NULL is allowed. */
void pccl_lane_destroy(struct pccl_lane *lane);

/* Carries out a command of the session, in the order in which that gave them out. */
void pccl_lane_command(struct pccl_lane *lane, struct pccl_command *command, uint64_t now_ns);

/* The background has been told something: links pull what it has. While it is `busy` neighbours are watched as they are
 * while ops run. */
void pccl_lane_stir(struct pccl_lane *lane, bool busy, uint64_t now_ns);
/* All links forget the background's frames. */
void pccl_lane_forget_background(struct pccl_lane *lane);

/* As pccl_lane_stir(). Only while visits are open strangers are visitors. */
void pccl_lane_stir_visits(struct pccl_lane *lane, bool open, bool busy, uint64_t now_ns);
void pccl_lane_forget_visits(struct pccl_lane *lane);

/* Somebody has opened a stream. */
void pccl_lane_adopt(struct pccl_lane *lane, struct pccl_lane_guest *guest, uint64_t now_ns);

/* Is anything to be carried now? */
bool pccl_lane_is_busy(const struct pccl_lane *lane);

/* When pccl_lane_tick() is due; UINT64_MAX: never. Only the calls above change it, and the tick itself. */
uint64_t pccl_lane_deadline(const struct pccl_lane *lane);
void pccl_lane_tick(struct pccl_lane *lane, uint64_t now_ns);

/* The link to a rank below pccl_lane_ranks(); NULL: there is none. */
uint32_t pccl_lane_ranks(const struct pccl_lane *lane);
struct pccl_lane_link *pccl_lane_link_to(const struct pccl_lane *lane, uint32_t rank);

/* For those who look on: whom does it wait for, what does it hold? */
const struct pccl_exec *pccl_lane_exec(const struct pccl_lane *lane);

/* ---- what a link tells; each may call the link's slots, but none closes it ---- */

bool pccl_neighbour_next(struct pccl_neighbour *neighbour, struct pccl_frame_send *send_out);
enum pccl_frame_verdict pccl_neighbour_accept(struct pccl_neighbour *neighbour, const struct pccl_frame *frame,
					      void **destination_out);
/* An accepted frame will not come, but once more. */
void pccl_neighbour_dropped(struct pccl_neighbour *neighbour, const struct pccl_frame *frame);
void pccl_neighbour_received(struct pccl_neighbour *neighbour, const struct pccl_frame *frame);
/* The other side has the frame with this token. */
void pccl_neighbour_acked(struct pccl_neighbour *neighbour, void *token);
/* The link has called pccl_neighbour_next() though nobody kicked it. */
void pccl_neighbour_pulled(struct pccl_neighbour *neighbour);
/* All streams are up for the first time. */
void pccl_neighbour_up(struct pccl_neighbour *neighbour);
/* No stream is up any more, the last one broke; or one is up again. */
void pccl_neighbour_broken(struct pccl_neighbour *neighbour, bool broken);
/* The link is lost for good. */
void pccl_neighbour_lost(struct pccl_neighbour *neighbour, const char *reason);

#endif
