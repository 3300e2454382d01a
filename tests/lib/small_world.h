/* A small world for tests of membership: masters and peers, the very machines, with messages that go through the
 * codec and arrive in order and at once; time stands still until it is told to go on. */
#ifndef PCCL_TESTS_SMALL_WORLD_H
#define PCCL_TESTS_SMALL_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "membership/master/master.h"
#include "membership/peer/peer.h"

#define SMALL_MASTERS 2
#ifndef SMALL_PEERS
#define SMALL_PEERS 128
#endif
#define SMALL_MS PCCL_MS_NS

struct small_peer {
	struct pccl_peer *machine; /* NULL: dead or never made */
	struct pccl_peer_config config;
	uint64_t connection; /* 0: none */
	uint32_t master;     /* of the connection */
	bool killed;
	bool paused;	  /* takes part in nothing */
	bool muted;	  /* is heard by nobody, without its connection breaking */
	bool slow_freeze; /* does not answer FREEZE */
	bool slow_meet;	  /* nor MEET */
	bool says_unmet;  /* answers every MEET with no */
	bool unprepared;  /* answers no PREPARE, as a newcomer either */
	uint64_t origin;  /* where it comes from */
	uint32_t freeze_epoch;
	struct pccl_install install; /* a copy of the last one */
	uint32_t installs;
	uint8_t first_verdict;	  /* of the first decision that came with an install */
	uint32_t cut_from_master; /* 1 + index of the master whose messages don't come through; 0: all do */
	struct pccl_world world;
	bool voting; /* a joint call is outstanding */
	bool voted;
	pcclResult_t vote_result;
	bool vote_value;
	char vote_text[PCCL_DETAIL_BYTES];
	bool ended;
	pcclResult_t end_result;
	char end_text[PCCL_DETAIL_BYTES];
	struct pccl_op_report report; /* what it reports in a flush, if `reports` */
	bool reports;
};

struct small_packet;

struct small_world {
	uint64_t now_ns;
	uint64_t next_connection;
	struct pccl_master *masters[SMALL_MASTERS]; /* NULL: down */
	uint32_t master_starts;
	uint64_t admission_timeout_ns; /* of peers that join from now on, with the next two */
	uint32_t joint_timeout_ms;
	uint64_t origin;  /* likewise, as the next */
	const char *host; /* that they say is theirs; NULL: none, the master sees it */
	uint8_t late;	  /* enum pccl_late */
	bool defers;	  /* likewise: they do not want in before PCCL_PEER_READY */
	bool hasty;	  /* peers ask for ten times as many heartbeats, and time-outs as much shorter */
	struct small_peer peers[SMALL_PEERS];
	bool parted[SMALL_PEERS][SMALL_PEERS]; /* of the two, lower index first: no link can be made */
	struct small_packet *first;
	struct small_packet *last;
	uint32_t message_count[32]; /* delivered, by type */
	size_t fail_allocation;	    /* the nth allocation inside a machine's step fails, 0: none; counts down */
	bool allocation_failed;	    /* it has */
};

/* Set-up and teardown of a test: a world with one master. */
int small_open(void **state);
int small_close(void **state);

void small_world_init(struct small_world *world);
void small_world_fini(struct small_world *world);
void small_master_start(struct small_world *world, uint32_t index);
void small_master_crash(struct small_world *world, uint32_t index); /* what it has sent is lost */

/* Peer `index` with uuid index + 1 joins; `masters` is how many it knows. */
void small_join(struct small_world *world, uint32_t index, uint32_t group, uint32_t masters);
void small_join_bundle(struct small_world *world, uint32_t index, uint32_t group, uint64_t bundle, uint32_t size);
void small_vote(struct small_world *world, uint32_t index, enum pccl_vote vote);
/* The peer's update, joint call number `sequence`, must not go on. */
void small_give_up(struct small_world *world, uint32_t index, uint32_t sequence);
void small_vote_if_member(struct small_world *world, uint32_t index, enum pccl_vote vote); /* and is free to */
/* All of the first `count` that may: they let in who waits and is reached. */
void small_update(struct small_world *world, uint32_t count);
/* A group of so many at the first master, who join one after the other. */
void small_gather(struct small_world *world, uint32_t count);
/* Its connection to the master breaks, and right after the links to it, at all others. */
void small_kill(struct small_world *world, uint32_t index);
/* Its connection to the master breaks, and both see that. */
void small_reset(struct small_world *world, uint32_t index);
/* The master sees the connection break, the peer does not. */
void small_hang_up(struct small_world *world, uint32_t index);
/* The master is told that the peer may not stay. */
void small_dismiss(struct small_world *world, uint32_t index);
/* Any event of one peer. */
void small_event(struct small_world *world, uint32_t index, struct pccl_peer_event *event);
/* The links between the two, as the first sees them. */
void small_link(struct small_world *world, uint32_t index, uint32_t about, bool broken);
/* Its links to all others are up. */
void small_linked(struct small_world *world, uint32_t index);
void small_leave(struct small_world *world, uint32_t index);

/* The peer sees its connection break; the master does not (it may be gone). */
void small_lose_connection(struct small_world *world, uint32_t index);

/* As if the peer had found its master silent: it abandons it, tries no other, and dials `master`. */
void small_move(struct small_world *world, uint32_t index, uint32_t master);
void small_complain(struct small_world *world, uint32_t index, uint32_t about);
/* It has been heard: that is taken back. */
void small_hear_again(struct small_world *world, uint32_t index, uint32_t about);

/* Answers the outstanding FREEZE of a slow peer. */
void small_freeze_done(struct small_world *world, uint32_t index);

/* Delivers until so many more messages of a type have arrived. */
void small_deliver_until(struct small_world *world, enum pccl_message_type type, uint32_t count);

/* Delivers until nothing is on its way; lets time pass, with every deadline in it. */
void small_settle(struct small_world *world);
void small_pass(struct small_world *world, uint64_t ms);

uint32_t small_epoch(const struct small_world *world, uint32_t index);
uint32_t small_size(const struct small_world *world, uint32_t index); /* members of its view, 0: none */
pcclRankUuid_t small_uuid(uint32_t index);
struct pccl_secret small_secret(uint32_t index);

#endif
