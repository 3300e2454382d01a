/*
 * The master: a pure machine that admits peers, watches them, and decides outcomes at view changes. It never touches
 * payload and is soft state: a new one rebuilds its groups from the peers that come back (docs/PROTOCOL.md).
 * Connections are named by the shell with ids that are never reused.
 */
#ifndef PCCL_MEMBERSHIP_MASTER_H
#define PCCL_MEMBERSHIP_MASTER_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#include "membership/message/message.h"
#include "membership/message/view.h"

struct pccl_master_config {
	pcclRankUuid_t uuid;		/* new at every start */
	uint64_t heartbeat_interval_ns; /* to peers that did not ask for another one */
	uint64_t heartbeat_timeout_ns;
	uint64_t complaint_window_ns; /* how long to collect complaints before deciding who goes */
	uint64_t return_grace_ns;     /* after a majority has returned to a new master: how long to wait for the rest */
	const struct pccl_sealer *sealer; /* borrowed; NULL: it signs nothing, and believes what it is told of views */
};

enum pccl_master_event_type {
	PCCL_MASTER_TICK,
	PCCL_MASTER_ACCEPTED, /* a connection; text: its remote address, numeric */
	PCCL_MASTER_MESSAGE,
	PCCL_MASTER_CLOSED, /* the connection ended or sent garbage; text says how */
	PCCL_MASTER_DISMISS /* it may not stay: out of its group at once, whether it goes or not; text says why */
};

struct pccl_master_event {
	enum pccl_master_event_type type;
	uint64_t now_ns;
	uint64_t connection;
	struct pccl_message *message; /* ownership passes to the machine */
	const char *text;
	uint64_t origin; /* ACCEPTED: of where it comes from, so that who floods it keeps nobody else out */
};

enum pccl_master_action_type {
	PCCL_MASTER_SEND,   /* `message` to `connection`; the taker frees it */
	PCCL_MASTER_HANG_UP /* close `connection` after what was sent; no CLOSED is expected any more */
};

struct pccl_master_action {
	enum pccl_master_action_type type;
	uint64_t connection;
	struct pccl_message *message;
};

/* Messages up to this size may come from anybody; longer ones of who is no member take from a bounded store. */
#define PCCL_MASTER_SMALL_BYTES 4096u

struct pccl_master;

pcclResult_t pccl_master_create(const struct pccl_master_config *config, struct pccl_master **master_out);
void pccl_master_destroy(struct pccl_master *master);
void pccl_master_step(struct pccl_master *master, const struct pccl_master_event *event);
bool pccl_master_poll(struct pccl_master *master, struct pccl_master_action *action_out);
uint64_t pccl_master_deadline(const struct pccl_master *master);

/* A message of so many bytes begins to come on the connection. pcclMasterConnectionFailed: that is too much to keep
 * until it is whole, with all that others have begun; hang up. */
pcclResult_t pccl_master_expect(struct pccl_master *master, uint64_t connection, uint32_t bytes);

enum pccl_master_place {
	PCCL_PLACE_MEMBER,   /* of the group's view */
	PCCL_PLACE_RETURNED, /* of some earlier one, in a group that is being rebuilt */
	PCCL_PLACE_WAITING   /* for its admission */
};

/* Somebody who has registered and is connected. */
struct pccl_master_entry {
	uint64_t connection;
	pcclRankUuid_t uuid;
	uint32_t group;
	enum pccl_master_place place;
	uint32_t rank; /* MEMBER, as the next */
	uint32_t epoch;
	const char *remote; /* numeric */
};

typedef void (*pccl_master_lister)(void *context, const struct pccl_master_entry *entry);

/* Lists them, those who came last first. `take` does not step the machine. */
void pccl_master_list(const struct pccl_master *master, pccl_master_lister take, void *context);

/* Would those who stay be no majority without it, where other masters might have one? Who is told that it is out still
 * counts as alive, for it may have gone to one of them. */
bool pccl_master_needs(const struct pccl_master *master, uint64_t connection);

#endif
