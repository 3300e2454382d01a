/* What the files of a lane share: lane.c carries out commands, lane_neighbours.c knows who is there, lane_strangers.c
 * who may soon be, lane_visits.c what these get, lane_guests.c has the streams that came too early. */
#ifndef PCCL_SESSION_LANE_INTERNAL_H
#define PCCL_SESSION_LANE_INTERNAL_H

#include "session/lane.h"

struct pccl_neighbour {
	struct pccl_lane *lane;
	struct pccl_lane_link *link; /* NULL: this peer itself, the lane has no part in the view, or it can't be made */
	pcclRankUuid_t uuid;
	uint32_t rank;
	char host[PCCL_ADDRESS_TEXT_BYTES]; /* a member: for the log */
	bool broken;			    /* all streams of the link, for now */
	bool passed;	 /* the link was made with a pass; false: the master that told the view had none */
	bool lost;	 /* the link, for good */
	bool silent;	 /* that was complained about */
	bool stranger;	 /* no member yet: as long as it is, it has the next three and no rank */
	uint32_t number; /* of the last MEET about it, */
	bool unanswered; /* which waits for the link to be up again */
	bool visits;	 /* a stranger: the next is its number among visitors */
	uint32_t visitor;
	struct pccl_neighbour *next;
	struct pccl_silence silence;
};

struct pccl_lane {
	struct pccl_lane_config config;
	const struct pccl_lane_calls *calls;
	struct pccl_exec *exec;
	uint32_t lanes; /* of the view in force, as the next three */
	uint32_t epoch; /* 0: no view yet */
	uint32_t rank;
	uint32_t ranks;
	bool frozen;
	bool linked;			    /* has told that all links of the view are up */
	struct pccl_neighbour **neighbours; /* by rank */
	uint32_t attempts_open;		    /* launched here and not ended */
	bool background_busy;
	uint64_t watch_ns; /* when to look at the neighbours; 0: no attempt is open */
	struct pccl_neighbour *strangers;
	uint32_t stranger_count;
	bool visits_open, visits_busy;
	bool visits_quiet;   /* no op has run for a heartbeat interval; */
	bool visits_stirred; /* one has been launched since somebody has looked */
	struct pccl_neighbour *visitors[PCCL_LANE_VISITORS_MAX];
	uint32_t visitor_count;
	int64_t visit_credit; /* bytes of ops that have gone out for what visitors get meanwhile; below 0: a debt */
	bool visits_held;     /* something was to be sent to them, and had to wait */
	struct pccl_lane_guest *guests;
	uint32_t guest_count;
};

/* lane.c */

/* Whatever happened: links pull what the executor has for them now, and the session hears what has ended. */
void pccl_lane_pump(struct pccl_lane *lane);

/* lane_neighbours.c */

/* Lists the neighbours of the view: known ones keep their links, new ones get theirs, the rest goes. */
pcclResult_t pccl_lane_list_neighbours(struct pccl_lane *lane, const struct pccl_view *view);
/* The executor knows the view: guests find their link, frames on hold are asked about again; members whose link was
 * lost before are complained about once more. */
void pccl_lane_go_on(struct pccl_lane *lane);
/* For the executor, the context is the lane: does what goes to this rank get checksums? */
bool pccl_lane_checks(void *context, uint32_t rank);
/* Tells once that all links of the view are up. */
void pccl_lane_check_linked(struct pccl_lane *lane);
/* All links forget what `belongs` says, see the slot. */
void pccl_lane_forget(struct pccl_lane *lane, const void *cookie,
		      bool (*belongs)(const void *cookie, const struct pccl_frame *frame));
/* An attempt runs: watches the neighbours from now on, until none does. */
void pccl_lane_watch(struct pccl_lane *lane, uint64_t now_ns);
/* Looks at them, if that is due. */
void pccl_lane_look(struct pccl_lane *lane, uint64_t now_ns);
void pccl_lane_close_links(struct pccl_lane *lane);
/* The view or MEET that tells of a member has a pass to show it. */
bool pccl_lane_has_pass(const struct pccl_member *member);
struct pccl_neighbour *pccl_lane_find_neighbour(const struct pccl_lane *lane, const pcclRankUuid_t *uuid);

/* lane_strangers.c */

/* Makes links to the members of the command's view, and tells what comes of them. */
void pccl_lane_meet(struct pccl_lane *lane, const struct pccl_command *command);
struct pccl_neighbour *pccl_lane_find_stranger(const struct pccl_lane *lane, const pcclRankUuid_t *uuid);
void pccl_lane_stranger_up(struct pccl_neighbour *stranger);
void pccl_lane_stranger_lost(struct pccl_neighbour *stranger, const char *reason);
/* It is a member now, and no stranger; a link that is up stays. */
void pccl_lane_stranger_joins(struct pccl_neighbour *stranger);
void pccl_lane_close_strangers(struct pccl_lane *lane);

/* lane_visits.c */

/* The strangers, or their links, are others. */
void pccl_lane_list_visitors(struct pccl_lane *lane);
bool pccl_lane_is_visit(const struct pccl_lane *lane, const struct pccl_frame *frame);
bool pccl_visitor_next(const struct pccl_neighbour *stranger, struct pccl_frame_send *send_out);
enum pccl_frame_verdict pccl_visitor_accept(const struct pccl_neighbour *stranger, const struct pccl_frame *frame,
					    void **destination_out);
void pccl_visitor_received(const struct pccl_neighbour *stranger, const struct pccl_frame *frame);
void pccl_visitor_dropped(const struct pccl_neighbour *stranger, const struct pccl_frame *frame);
/* So many bytes of an op are about to be sent. */
void pccl_lane_earn_visits(struct pccl_lane *lane, uint32_t bytes);
/* An op is launched. */
void pccl_lane_disturb_visits(struct pccl_lane *lane);
/* A heartbeat interval is over: is it to be looked again, for ops that may have ended? */
bool pccl_lane_look_at_visits(struct pccl_lane *lane);
/* Links pull what there is for visitors. */
void pccl_lane_pump_visits(struct pccl_lane *lane);

/* lane_guests.c */

/* Those whose link there is now find it. */
void pccl_lane_seat_guests(struct pccl_lane *lane);
/* Those whose time is up go. */
void pccl_lane_expire_guests(struct pccl_lane *lane, uint64_t now_ns);
/* When the first one's time is up; UINT64_MAX: there is none. */
uint64_t pccl_lane_guests_end_ns(const struct pccl_lane *lane);
void pccl_lane_close_guests(struct pccl_lane *lane);

#endif
