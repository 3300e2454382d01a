/*
 * The inside of the master machine. Who does what:
 *	master.c	 events, actions, deadlines
 *	master_door.c	 how many connections may be here, from where, and how much is kept of them
 *	master_client.c	 connections: heartbeats, hanging up, what a lost client means to its group
 *	master_broken.c	 connections that end without a word: who is dead?
 *	master_register.c  REGISTER: newcomers, returning members
 *	master_seal.c	 what it says of views it signs, and what it is told of them has to be signed
 *	master_group.c	 groups: memory, the one routine that looks at a group after every event
 *	master_vote.c	 joint calls and admission
 *	master_meet.c	 introductions: who is reached by whom before a view has both
 *	master_origin.c	 what newcomers cost the members, by where they come from
 *	master_late.c	 members that have not made a joint call in time
 *	master_flush.c	 view changes: who is asked, when it starts again
 *	master_report.c	 what members report in them, as far as it can be judged
 *	master_install.c  their end
 *	master_complaint.c  broken links, operations whose deadlines passed
 *	master_quorum.c	 may this master decide?
 *	master_return.c	 rebuilding a group from the members that come back
 *	master_world.c, master_list.c  the world's numbers; who is here, for its operator
 */
#ifndef PCCL_MEMBERSHIP_MASTER_INTERNAL_H
#define PCCL_MEMBERSHIP_MASTER_INTERNAL_H

#include "base/log_rate.h"
#include "membership/master/decide.h"
#include "membership/master/master.h"

#define PCCL_MASTER_NEVER UINT64_MAX
#define PCCL_CLIENTS_MAX (4 * PCCL_MEMBERS_MAX) /* that have registered, but for those who have a seat already */
#define PCCL_CLIENT_BUCKETS 4096
#define PCCL_CLAIMS_MAX 16 /* different views that returning members may claim at a time */
#define PCCL_GROUP_PROMISES_MAX 64
#define PCCL_GROUP_DEAD_MAX (2 * PCCL_MEMBERS_MAX)
#define PCCL_GROUP_EXPIRED_MAX 1024
#define PCCL_GROUP_COMPLAINTS_MAX (4 * PCCL_MEMBERS_MAX)
#define PCCL_LEFT_MAX (4 * PCCL_MEMBERS_MAX) /* peers that left, and are remembered */
#define PCCL_PAST_RUNS_MAX 256		     /* likewise, runs that have ended */
#define PCCL_FLOORS_MAX 1024		     /* likewise, groups that were forgotten */
#define PCCL_ORIGINS_MAX 256		     /* that newcomers came from, of which something is remembered */
#define PCCL_MEETS_MAX 256		     /* newcomers of a group that are introduced at a time */
#define PCCL_EPOCH_HEARSAY_MAX (1u << 28)    /* who is no member raises no epoch beyond it */

struct pccl_group;

enum pccl_meeting_state {
	PCCL_MEETING_OPEN, /* MEET is sent */
	PCCL_MEETING_REACHED,
	PCCL_MEETING_FAILED,
	PCCL_MEETING_DUE /* it failed, and it is time to try again */
};

/* Of a newcomer with somebody who came before. */
struct pccl_meeting {
	struct pccl_client *with; /* of the same group; a lost one is taken out */
	uint32_t number;	  /* of MEET */
	enum pccl_meeting_state state;
	bool by_member; /* FAILED: that says so, or nothing */
};

enum pccl_client_state {
	PCCL_CLIENT_CALLER,   /* has not registered yet */
	PCCL_CLIENT_WAITING,  /* a newcomer */
	PCCL_CLIENT_RETURNED, /* a member of some earlier view, in a group that is being rebuilt */
	PCCL_CLIENT_SEATED,   /* a member of the group's view */
	PCCL_CLIENT_CLOSING   /* of no group; waits for its HANG_UP */
};

/* What a member did that only somebody who means harm does often. */
struct pccl_conduct {
	uint32_t alarms;      /* view changes that it asked for because of deadlines, at once and not long ago */
	uint64_t alarm_ns;    /* when the next of them is forgotten */
	uint32_t idle_alarms; /* for ops that nobody had, each within a minute of the one before, */
	uint64_t idle_ns;     /* at this time the last */
	uint32_t disputes;    /* others with whom it disagreed about their links, each not long after the one before, */
	uint32_t doubts;      /* how often it was the one that complained, */
	uint64_t dispute_ns;  /* at this time the last, */
	pcclRankUuid_t disputed; /* with this one */
	uint32_t disputes_won;	 /* members that went for such a disagreement with this one, not long ago, */
	uint64_t won_ns;	 /* at this time the last, */
	uint32_t feuds;		 /* or because they and this one complained about each other */
	uint32_t stray_alarms;	 /* view changes, each within a minute of the one before, in which it told of strays, */
	uint64_t stray_ns;	 /* at this time the last, */
	uint32_t strays;	 /* and of so many since newcomers joined: see master_report.c */
	uint32_t refusals;	 /* newcomers in a row that it did not reach, though most members did; */
	pcclRankUuid_t refused;	 /* the last of them */
	uint32_t namings;	 /* how often it was named for that */
	uint32_t breaks;	 /* times that it went away and was waited for, not long ago */
	uint64_t break_ns;	 /* when the next of them is forgotten */
	uint64_t waited_ns;	 /* how long it was waited for, as far as that is not forgotten, */
	uint64_t away_ns;	 /* at this time, which is when it went away last, if it is away */
};

/* One connection and the peer behind it. */
struct pccl_client {
	uint64_t connection;
	char remote[PCCL_ADDRESS_TEXT_BYTES];
	uint64_t origin;      /* where it comes from: all connections of a flood have few */
	uint32_t large_bytes; /* of the message that it is sending, if that takes from the store */
	enum pccl_client_state state;
	struct pccl_group *group; /* NULL: caller or closing */
	uint32_t seat;		  /* SEATED: its rank */
	struct pccl_member self;
	struct pccl_secret secret; /* it owns self.uuid; never told to anybody */
	uint64_t heartbeat_interval_ns;
	uint64_t heartbeat_timeout_ns;
	uint64_t serial;   /* order of registration */
	uint64_t since_ns; /* accepted, or registered */
	uint64_t heard_ns;
	uint64_t beat_ns;   /* when to say something next */
	pcclRankUuid_t run; /* of the view that the peer has installed, with its epoch; 0: none */
	uint32_t installed;
	struct pccl_answer answered; /* its last joint call that ended */
	uint32_t vote_round;	     /* of its vote */
	uint32_t round_asked;	     /* it has been asked to vote again in */
	bool answer_unsure;	     /* that was sent on this connection, and may be on its way still */
	bool may_found;
	bool deferred;			      /* WAITING: it does not want in yet */
	uint64_t bundle;		      /* WAITING: with whose ranks it has to join; 0: alone */
	uint32_t bundle_waiting, bundle_told; /* WAITING: how many of its ranks do, and how many it knows of */
	bool spread;			      /* scratch of the search for groups that change together */
	struct pccl_promise *promises;	      /* that it came with: then it is frozen; owned */
	uint32_t promise_count;
	uint8_t vote; /* outstanding joint call, 0: none */
	uint32_t vote_origin;
	uint32_t vote_sequence;
	uint64_t vote_ns;	  /* when it came, */
	uint64_t vote_timeout_ns; /* how long it waits for others, 0: for ever, */
	uint8_t vote_late;	  /* and what becomes of those then: enum pccl_late */
	bool admitting;		  /* WAITING: chosen for the view change that runs or is about to */
	bool asked;		  /* PREPARE of the running change was sent, */
	uint64_t asked_ns;	  /* at that time, */
	bool prepared;		  /* and answered */
	bool passed;	      /* it has its passes to all members of the view from here, so only new ones are told */
	uint32_t answers_due; /* PREPARE was sent on this connection, of any change, and its answer has not come */
	struct pccl_op_report *reports;
	uint32_t report_count;
	struct pccl_conduct conduct;
	struct pccl_meeting *meetings; /* WAITING, as the next: with members and earlier newcomers; owned */
	uint32_t meeting_count;
	uint32_t meetings_open;
	uint32_t meet_tries;		       /* that failed */
	uint64_t meet_ns;		       /* when the last one began; 0: none has */
	uint64_t meet_hold_ns;		       /* so long updates wait for it; PCCL_MASTER_NEVER: not */
	uint64_t meet_end_ns;		       /* when who has not answered has failed; PCCL_MASTER_NEVER: none runs */
	uint64_t meet_again_ns;		       /* the next one; PCCL_MASTER_NEVER: none is needed */
	char meet_text[PCCL_CAUSE_TEXT_BYTES]; /* the first failure of the one that runs */
	struct pccl_meeting *met;	       /* scratch */
	bool said_farewell;		       /* CLOSING by itself: no HANG_UP action */
	/* Members to which it says that no link is up, by rank of the view that it has installed; NULL: it never said
	 * anything; owned. */
	uint64_t *links_broken;
	uint32_t links_epoch;  /* of that view, when it said so */
	uint32_t linked_epoch; /* of the last view in which its links to all others came up */
	struct pccl_client *next;
	struct pccl_client *same_bucket; /* in the index of uuids */
};

enum pccl_seat_state {
	PCCL_SEAT_HERE,
	PCCL_SEAT_AWAY, /* at another master, or its connection ended without a word: until until_ns it is waited for */
	PCCL_SEAT_OUT	/* never comes back */
};

/* What became of one member of the view in force. */
struct pccl_seat {
	enum pccl_seat_state state;
	struct pccl_client *client;  /* HERE */
	struct pccl_conduct conduct; /* AWAY: goes on when it comes back by another connection */
	uint64_t until_ns;
	char why[120]; /* AWAY, OUT: in words */
};

/* The view change that runs. */
struct pccl_change {
	uint32_t epoch; /* 0: none */
	uint64_t started_ns;
	pcclRankUuid_t run;
	struct pccl_client **recipients; /* owned: members of the new view in rank order, then witnesses */
	uint32_t recipient_count;
	uint32_t member_count;
	uint32_t survivor_count;   /* the first so many members are of the old view */
	bool members_asked;	   /* those, in this change or one that it follows; before, all others have to answer */
	bool settled;		   /* nothing but answers is missing: no event since has touched the group */
	struct pccl_install *next; /* made, but not yet in force, with its seats and its message; owned */
	struct pccl_seat *seats;
	struct pccl_message *message;
};

/* A peer whose connection has ended without a word. */
struct pccl_broken {
	pcclRankUuid_t uuid;
	uint64_t until_ns; /* it may come back */
	bool recount;	   /* somebody has said something about links to it */
};

enum pccl_rest_kind {
	PCCL_REST_ADMISSION, /* it did not answer PREPARE: none from there is admitted */
	PCCL_REST_LOSS,	     /* it was lost while it was admitted: the same */
	PCCL_REST_HOLD,	     /* an update waited for it in vain: none from there is waited for */
	PCCL_REST_KINDS
};

/* How newcomers that come from there have been not long ago. */
struct pccl_origin {
	uint64_t origin;
	uint64_t used_ns;
	struct pccl_rest {
		uint32_t count;	     /* of charges, each not long after the one before, */
		uint64_t charged_ns; /* at this time the last */
		uint64_t until_ns;
		bool awaited; /* the end of that */
	} rests[PCCL_REST_KINDS];
	uint32_t meets;	   /* introductions with others' addresses, not long ago */
	uint64_t meets_ns; /* when the next of them is forgotten, */
	bool meets_awaited;
};

struct pccl_complaint {
	pcclRankUuid_t from;
	pcclRankUuid_t about;
	char text[PCCL_CAUSE_TEXT_BYTES];
	uint64_t until_ns; /* so long the accused and others may find trouble themselves */
	bool asked;	   /* the accused, */
	uint32_t number;   /* with this MEET */
};

/* Of hold_ns, where PCCL_MASTER_NEVER means that no update has had to wait yet: it has waited for long enough. */
#define PCCL_MASTER_HOLD_OVER 0u

struct pccl_group {
	uint32_t id;
	uint32_t client_count;			      /* who have registered for it and are not lost */
	bool dirty;				      /* to be looked at */
	uint64_t again_ns;			      /* look again, memory was short */
	struct pccl_install *base;		      /* view in force; NULL: empty, or being rebuilt from claims */
	struct pccl_seat *seats;		      /* one per member of base */
	struct pccl_install *claims[PCCL_CLAIMS_MAX]; /* what returning members have installed */
	uint32_t claim_count;
	struct pccl_promise *promises;		      /* given to other masters: views that may be in force somewhere */
	bool promise_proven[PCCL_GROUP_PROMISES_MAX]; /* by promise: a member of its run told of it */
	uint32_t promise_count;
	pcclRankUuid_t *dead; /* surely: connection closed, or left */
	uint32_t dead_count;
	struct pccl_broken *broken; /* members and returned ones; owned */
	uint32_t broken_count;
	uint64_t recount_ns;   /* when to look at all of them anew: others who speak of them have gone */
	uint32_t epoch_top;    /* highest epoch heard of */
	uint32_t tenure_epoch; /* what this master did beyond it, it remembers */
	bool needs_quorum;     /* members know several masters */
	bool loyal;	       /* more than half of the view are here and have promised nothing */
	bool meets_due;	       /* newcomers are to be introduced */
	uint64_t hold_ns;      /* so long an update waits for that; or PCCL_MASTER_NEVER, PCCL_MASTER_HOLD_OVER */
	uint32_t joins_lost;   /* newcomers that were lost while an update admitted them, since the last one ended */
	bool flush_due;	       /* a view change is needed even if nobody is missing */
	uint32_t members_most; /* in any view since newcomers joined; 0: not known */
	struct pccl_change change;
	struct pccl_complaint *complaints;
	uint32_t complaint_count;
	uint64_t window_ns; /* when to judge complaints */
	struct pccl_expired_op *expired;
	uint32_t expired_count;
	struct pccl_answer answer;	   /* the last joint call that ended */
	uint64_t joint_ns;		   /* when members are late with the outstanding joint call */
	uint32_t late_sequence;		   /* number of the last one that some were late with: it is logged once */
	uint64_t majority_ns;		   /* end of the wait for those who have not returned yet */
	uint32_t majority_epoch;	   /* of the claim that the wait is about */
	uint64_t stall_ns;		   /* when to say STALLED next; PCCL_MASTER_NEVER: the group can go on */
	char cause[PCCL_CAUSE_TEXT_BYTES]; /* first reason for the next view change */
	uint32_t cause_count;
	bool joint; /* scratch of the search for groups that change together */
	bool open;  /* scratch of admission, as the next: all who stay agree to take newcomers */
	bool empty; /* nobody stays */
	struct pccl_group *next;
};

struct pccl_master_queued {
	struct pccl_master_action action;
	struct pccl_master_queued *next;
};

struct pccl_master {
	struct pccl_master_config config;
	uint64_t now_ns;
	uint64_t promised_ns; /* the deadline that the last step asked for */
	uint64_t serial;
	uint32_t meet_number;
	bool is_parting; /* tells others of one that must go */
	struct pccl_origin origins[PCCL_ORIGINS_MAX];
	uint32_t origin_count;
	struct pccl_floor {
		uint32_t group;
		uint32_t epoch;
	} floors[PCCL_FLOORS_MAX]; /* forgotten groups start above theirs, so that their epochs grow, */
	uint32_t floor_count;
	uint32_t epoch_floor; /* and those that are not remembered any more above this one */
	struct pccl_client *clients;
	uint32_t client_count;
	struct pccl_client *buckets[PCCL_CLIENT_BUCKETS]; /* clients that have registered, by uuid */
	struct pccl_group *groups;
	/* Members that left, also of groups that are forgotten: nobody waits for them. The latest ones are kept. */
	struct pccl_left {
		pcclRankUuid_t uuid;
		uint32_t epoch; /* of the view that it left */
	} left[PCCL_LEFT_MAX];
	uint32_t left_count; /* of all that left */
	/* Runs that ended here, even if their group is forgotten: who comes back to one is too late. */
	pcclRankUuid_t past_runs[PCCL_PAST_RUNS_MAX];
	uint32_t past_run_count; /* of all that ended */
	struct pccl_master_queued *first;
	struct pccl_master_queued *last;
	uint64_t effort;		   /* clients and groups that were searched, ever: tests bound it */
	struct pccl_log_rate lost_callers; /* lines about them, */
	struct pccl_log_rate lost_guests;  /* about newcomers and founders, */
	struct pccl_log_rate lone_views;   /* and about groups of one */
};

/* master.c */

/* Queues a message to a client; takes one reference. NULL, or no memory: the client is lost. */
void pccl_master_send(struct pccl_master *master, struct pccl_client *client, struct pccl_message *message);
uint64_t pccl_master_earlier(uint64_t left, uint64_t right);

/* master_client.c */
struct pccl_client *pccl_client_find(const struct pccl_master *master, uint64_t connection);
struct pccl_client *pccl_client_of(const struct pccl_group *group, const struct pccl_master *master,
				   const pcclRankUuid_t *uuid);
/* The index of uuids: a client is in it from its registration to its end. */
void pccl_client_index(struct pccl_master *master, struct pccl_client *client);
struct pccl_client *pccl_client_bucket(const struct pccl_master *master, const pcclRankUuid_t *uuid);

/* Who waits in the group, in the order of registration, so that every run of the machine is the same; the caller frees
 * the list (pccl_free). NULL: out of memory. */
struct pccl_client **pccl_clients_waiting(const struct pccl_master *master, const struct pccl_group *group,
					  uint32_t *count_out);
void pccl_client_set_state(struct pccl_master *master, struct pccl_client *client, enum pccl_client_state state);
void pccl_client_accept(struct pccl_master *master, uint64_t connection, const char *remote, uint64_t origin);

/* Why a client is lost to its group. */
enum pccl_loss {
	PCCL_LOSS_LEFT,	  /* said so */
	PCCL_LOSS_DEAD,	  /* connection closed, and it was no member: counts as dead */
	PCCL_LOSS_BROKEN, /* connection closed, of a member: pccl_broken_note() has noted it */
	PCCL_LOSS_AWAY,	  /* went to another master, or to another connection; may come back in time */
	PCCL_LOSS_SILENT, /* may live, but has been waited for long enough; comes back if the group still needs it */
	PCCL_LOSS_EVICTED /* the group goes on without it */
};

/* Takes the client out of its group and marks it for hanging up (or, if it is gone already, for being freed). */
void pccl_client_lose(struct pccl_master *master, struct pccl_client *client, enum pccl_loss loss, const char *why);

/* The client waits again, and so do the other ranks of its bundle. */
void pccl_client_stop_admission(struct pccl_master *master, struct pccl_client *client);

/* As pccl_client_lose(), with a notice before it: REFUSED or EVICTED. */
void pccl_client_dismiss(struct pccl_master *master, struct pccl_client *client, enum pccl_message_type type,
			 pcclResult_t result, const char *text);
void pccl_clients_tick(struct pccl_master *master);
void pccl_clients_forgive(struct pccl_master *master, uint64_t late_ns);
uint64_t pccl_clients_deadline(const struct pccl_master *master);
void pccl_clients_sweep(struct pccl_master *master, bool all);

/* master_door.c */

/* One more caller is here: another one may have to go. */
void pccl_door_enter(struct pccl_master *master, const struct pccl_client *caller);

/* Is there room for it among those who have registered? Another one may have to go; if not, the caller is lost. */
bool pccl_door_admit(struct pccl_master *master, struct pccl_client *caller,
		     const struct pccl_message_register *registration);

/* master_broken.c */

/* A member goes away, and may come back. False: it has done so too often not long ago, or was waited for too long. */
bool pccl_absence_begin(const struct pccl_master *master, struct pccl_client *client);
/* Until when it is waited for, at most for `grace_ns`. */
uint64_t pccl_absence_limit(const struct pccl_master *master, struct pccl_client *client, uint64_t grace_ns);
/* It has come back; the others have waited until then, or as long as they would. */
void pccl_absence_end(const struct pccl_master *master, struct pccl_conduct *conduct, uint64_t until_ns);

/* The client's connection has ended without a word: notes it, so that it may come back. False: it was no member, or
 * there is no more patience with it. */
bool pccl_broken_note(struct pccl_master *master, struct pccl_client *client);
/* Until when it may, of one that has been noted. */
uint64_t pccl_broken_until(const struct pccl_group *group, const pcclRankUuid_t *uuid);
/* It has come back. */
void pccl_broken_mend(struct pccl_group *group, const pcclRankUuid_t *uuid);
/* What a client says about its links to another. */
void pccl_broken_hear(struct pccl_client *client, uint32_t epoch, const pcclRankUuid_t *uuid, bool broken);
void pccl_broken_linked(struct pccl_client *client, uint32_t epoch);
/* Others may say something else now, or are fewer. */
void pccl_broken_recount(const struct pccl_master *master, struct pccl_group *group);
/* Who has not come back in time, or is dead? */
void pccl_broken_evaluate(const struct pccl_master *master, struct pccl_group *group);
uint64_t pccl_broken_deadline(const struct pccl_group *group);
/* The master has slept for so long. */
void pccl_broken_forgive(struct pccl_group *group, uint64_t late_ns);

/* master_register.c */
void pccl_master_on_register(struct pccl_master *master, struct pccl_client *client, struct pccl_message *message);

/* master_group.c */
struct pccl_group *pccl_group_find(const struct pccl_master *master, uint32_t id);
struct pccl_group *pccl_group_create(struct pccl_master *master, uint32_t id);
void pccl_group_retry(struct pccl_master *master, struct pccl_group *group);
void pccl_group_note_cause(struct pccl_group *group, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pccl_group_note_dead(struct pccl_group *group, const pcclRankUuid_t *uuid);
bool pccl_group_is_dead(const struct pccl_group *group, const pcclRankUuid_t *uuid);

/* Learns what a client has promised to other masters. Returns pcclOutOfMemory. */
pcclResult_t pccl_group_learn_promises(const struct pccl_master *master, struct pccl_group *group,
				       const struct pccl_client *client);
pcclResult_t pccl_group_add_promise(struct pccl_group *group, const struct pccl_promise *promise, bool proven);

void pccl_group_drop_promise(struct pccl_group *group, uint32_t index);
void pccl_group_raise_epoch(struct pccl_group *group, uint32_t epoch);
void pccl_group_drop_base(struct pccl_group *group);
void pccl_group_drop_claims(struct pccl_group *group);
void pccl_group_drop_claim(struct pccl_group *group, uint32_t index);
void pccl_group_drop_promises(struct pccl_group *group);

/* The group is unknown here from now on, but for what those say who wait here. */
void pccl_group_forget(struct pccl_master *master, struct pccl_group *group);
void pccl_group_drop_change(struct pccl_group *group, struct pccl_master *master);
void pccl_group_stall(struct pccl_master *master, struct pccl_group *group);
void pccl_group_unstall(struct pccl_group *group);
void pccl_groups_tick(struct pccl_master *master);
void pccl_groups_evaluate(struct pccl_master *master);
uint64_t pccl_groups_deadline(const struct pccl_master *master);
void pccl_group_destroy(struct pccl_group *group);

/* Makes `base` the view in force, with `seats` (zeroed, one per member), every one AWAY. Takes both. */
void pccl_group_set_base(struct pccl_master *master, struct pccl_group *group, struct pccl_install *base,
			 struct pccl_seat *seats);
void pccl_group_seat(struct pccl_master *master, struct pccl_group *group, struct pccl_client *client, uint32_t rank);

/* master_vote.c */
void pccl_master_on_vote(const struct pccl_master *master, struct pccl_client *client,
			 const struct pccl_message_vote *vote);

/* Has the client made the joint call that is next? */
bool pccl_vote_counts(const struct pccl_group *group, const struct pccl_client *client);

/* A member that has come back may know the end of a joint call that this master does not know of. */
void pccl_vote_learn(struct pccl_group *group, const struct pccl_client *client);
void pccl_votes_evaluate(struct pccl_master *master, struct pccl_group *group);

/* The newcomers that were to be admitted wait again. */
void pccl_admission_call_off(struct pccl_master *master, struct pccl_group *group);

/* Marks the newcomers that can be admitted now, or unmarks them all if the members agree no more. True if any is
 * marked. */
bool pccl_admission_choose(struct pccl_master *master, struct pccl_group *group);

/* Is a bundle of the group complete but waits for other groups to be ready for it? */
bool pccl_admission_held(const struct pccl_master *master, const struct pccl_group *group);

/* A newcomer that could be admitted if its group's members agreed: alone, or its bundle is complete. */
bool pccl_client_eligible(const struct pccl_client *client);
void pccl_master_on_defer(const struct pccl_master *master, struct pccl_client *client, bool deferred);

/* master_meet.c */
void pccl_master_on_met(const struct pccl_master *master, struct pccl_client *client,
			const struct pccl_message_met *met);

/* Asks a member whether it has a link to another one: returns the number of its answer, MET. */
uint32_t pccl_meet_ask(struct pccl_master *master, struct pccl_client *member, struct pccl_client *about);

/* Introduces newcomers to whom they have not met. */
void pccl_meet_evaluate(struct pccl_master *master, struct pccl_group *group);

/* Has the newcomer been reached by all members, and by those who are admitted with it? */
bool pccl_meet_is_ready(const struct pccl_master *master, const struct pccl_client *newcomer);

/* It is not, and an update does not wait for that. */
bool pccl_meet_is_hopeless(const struct pccl_master *master, const struct pccl_client *newcomer);

/* Is it known not to be? */
bool pccl_meet_has_failed(const struct pccl_master *master, const struct pccl_client *newcomer);

/* Does the update that all members have called wait for what comes of an introduction? */
bool pccl_meet_is_awaited(const struct pccl_master *master, struct pccl_group *group);

/* It is gone, or has to go: all others of the group end the links that they have to it. */
void pccl_meet_part(struct pccl_master *master, const struct pccl_group *group, struct pccl_client *gone);
/* Who is lost to its group is met by nobody. */
void pccl_meet_forget(struct pccl_master *master, const struct pccl_client *gone);

/* The client is no newcomer (yet, or any more). */
void pccl_meet_end(struct pccl_client *client);
void pccl_meets_tick(struct pccl_master *master);
uint64_t pccl_meets_deadline(const struct pccl_master *master, const struct pccl_client *client);

/* master_origin.c */

/* Members waited for the newcomer in vain. */
void pccl_origin_charge(struct pccl_master *master, const struct pccl_client *newcomer, enum pccl_rest_kind kind);
/* That was not long ago, of another one or of this one. */
bool pccl_origin_rests(const struct pccl_master *master, const struct pccl_client *newcomer, enum pccl_rest_kind kind);
/* May it be introduced to others now, who may dial its addresses? */
bool pccl_origin_may_meet(struct pccl_master *master, const struct pccl_client *newcomer);
/* It is. */
void pccl_origin_meets(struct pccl_master *master, const struct pccl_client *newcomer);
/* It was, and was reached so soon that nobody has dialled. */
void pccl_origin_met_undialled(struct pccl_master *master, const struct pccl_client *newcomer);
void pccl_origins_tick(struct pccl_master *master);
uint64_t pccl_origins_deadline(const struct pccl_master *master);

/* master_late.c */

/* Not everybody has made the joint call that others wait in: until when may they? If that has passed, does what those
 * who made it want. */
void pccl_late_evaluate(struct pccl_master *master, struct pccl_group *group);

/* master_flush.c */
void pccl_change_evaluate(struct pccl_master *master, struct pccl_group *group);
void pccl_master_on_prepared(struct pccl_master *master, struct pccl_client *client,
			     struct pccl_message_prepared *prepared);

/* master_report.c */

/* Can what the client reports be true? If not it is evicted. */
bool pccl_reports_check(struct pccl_master *master, struct pccl_client *client,
			const struct pccl_message_prepared *prepared);

/* All have answered. Who reports what nobody else has, more than can be or too often, is evicted: then the change
 * starts again, and false is returned. */
bool pccl_reports_judge(struct pccl_master *master, struct pccl_group *group);

/* master_install.c */

/* Has everybody answered PREPARE? */
bool pccl_change_is_answered(const struct pccl_change *change);

/* Tells a member of the view in force what to show when it calls those from `first_rank` on; or all, if it is not sure
 * to have the other passes: it came back, or was told a view whose members were not all here. */
void pccl_install_passes(struct pccl_master *master, const struct pccl_group *group, struct pccl_client *client,
			 uint32_t first_rank);

/* Puts the next view in force if all have answered, here and in the groups that share a joining bundle. */
void pccl_change_install(struct pccl_master *master, struct pccl_group *group);

/* master_complaint.c */
void pccl_master_on_complaint(const struct pccl_master *master, struct pccl_client *client,
			      const struct pccl_message_complaint *complaint);
void pccl_master_on_retract(struct pccl_client *client, const struct pccl_message_retract *retract);
/* A member says whether it has a link to one that has complained about it. */
void pccl_complaint_answered(const struct pccl_master *master, struct pccl_client *accused,
			     const struct pccl_client *accuser, const struct pccl_message_met *met);
/* A member has come back by another connection: it says its complaints again. */
void pccl_complaints_renew(struct pccl_group *group, const pcclRankUuid_t *from);
void pccl_master_on_expired(struct pccl_master *master, struct pccl_client *client,
			    const struct pccl_message_expired *expired);

/* A view change is over: who asked for it because of ops that nobody has? */
void pccl_expired_charge(struct pccl_master *master, struct pccl_group *group);
void pccl_complaints_judge(struct pccl_master *master, struct pccl_group *group);
/* The master has slept for so long. */
void pccl_complaints_forgive(struct pccl_group *group, uint64_t late_ns);

/* master_quorum.c */

/* A strict majority of those of the list that are not surely dead is among the clients; exactly half with the
 * lowest rank. */
bool pccl_quorum_of_uuids(const struct pccl_group *group, const pcclRankUuid_t *uuids, uint32_t count,
			  struct pccl_client *const *clients, uint32_t client_count);
bool pccl_quorum_of_view(const struct pccl_group *group, const struct pccl_view *view,
			 struct pccl_client *const *clients, uint32_t client_count);

/* The same for every promise of the run beyond `epoch`. */
bool pccl_quorum_of_promises(const struct pccl_group *group, const pcclRankUuid_t *run, uint32_t epoch,
			     struct pccl_client *const *clients, uint32_t client_count);

/* Does a promise count for a group at this run? What only newcomers tell of it does not, as long as a majority is here
 * that has promised nothing: whatever later view of the run were in force elsewhere, they would have promised it. NULL:
 * the group has no run here, and all may be true. */
bool pccl_promise_counts(const struct pccl_group *group, uint32_t index, const pcclRankUuid_t *run);
/* Is such a majority here? */
bool pccl_promises_none(const struct pccl_group *group);
/* May a view be in force elsewhere that follows the one here? */
bool pccl_promises_bind(const struct pccl_group *group);
/* Then, and with several masters, only a majority goes on, and so who may live is needed for it. */
bool pccl_group_needs_quorum(const struct pccl_group *group);

/* Was the uuid promised to be in a view that may be in force somewhere? */
bool pccl_promises_name(const struct pccl_group *group, const pcclRankUuid_t *uuid);

/* master_return.c */
void pccl_return_claim(struct pccl_master *master, struct pccl_group *group, struct pccl_client *client,
		       struct pccl_install **install);
void pccl_return_dissolve(struct pccl_master *master, struct pccl_group *group);

/* Treats a view like one that was promised to another master: it may be in force. Returns pcclOutOfMemory. */
pcclResult_t pccl_return_remember(struct pccl_group *group, const struct pccl_install *claim);
void pccl_return_evaluate(struct pccl_master *master, struct pccl_group *group);

/* master_world.c */
void pccl_world_measure(const struct pccl_master *master, struct pccl_world *world_out);

#endif
