/* The links of a lane as that wants them: session/lane.h on one side, transport/link/link.h on the other. */
#ifndef PCCL_LANE_LINKS_H
#define PCCL_LANE_LINKS_H

#include "session/lane.h"
#include "transport/link/link.h"

/* What all links of a lane have alike. */
struct pccl_lane_links {
	struct pccl_loop *loop;
	uint32_t group;
	pcclRankUuid_t self;
	struct pccl_signer signer; /* of `self`; nobody: connections are plain */
	const struct pccl_wires *wires;
	uint64_t host; /* see pccl_locality_host() */
	pcclChecksums_t checksums;
	uint16_t lane;
	const char *interfaces; /* that carry payload; "": any */
	uint16_t streams;	/* as this peer has told the others */
	uint64_t connect_timeout_ns;
	uint64_t redial_timeout_ns;
};

/* The slots of the same names; those with a context take what the calling side has looked up in it. */
pcclResult_t pccl_lane_link_open(const struct pccl_lane_links *links, struct pccl_neighbour *neighbour,
				 const struct pccl_member *member, bool dials, struct pccl_lane_link **link_out);
void pccl_lane_link_close(struct pccl_lane_link *link);
void pccl_lane_link_kick(struct pccl_lane_link *link);
void pccl_lane_link_forget(struct pccl_lane_link *link, const void *cookie,
			   bool (*belongs)(const void *cookie, const struct pccl_frame *frame));
void pccl_lane_link_resume(struct pccl_lane_link *link);
bool pccl_lane_link_is_up(const struct pccl_lane_link *link);
bool pccl_lane_link_checks(const struct pccl_lane_link *link);
void pccl_lane_link_heard(const struct pccl_lane_link *link, struct pccl_heard *heard_out);
void pccl_lane_link_renew(struct pccl_lane_link *link, uint64_t deadline_ns);
void pccl_lane_link_adopt(struct pccl_lane_link *link, struct pccl_lane_guest *guest);
/* The guest is gone then: told why, if that is not NULL, or without a word. */
void pccl_lane_link_turn_away(struct pccl_loop *loop, struct pccl_lane_guest *guest, const char *why);
void pccl_lane_link_hang_up(struct pccl_lane_guest *guest);

/* As pccl_link_in_memory(), pccl_link_leaves(). */
bool pccl_lane_link_in_memory(const struct pccl_lane_link *link);
bool pccl_lane_link_leaves(const struct pccl_lane_link *link, struct pccl_address *local_out);

/* Adds what pccl_link_pace() says. */
void pccl_lane_link_pace(const struct pccl_lane_link *link, struct pccl_stream_counters *sums);

/* A guest for pccl_lane_adopt() of a stream whose HELLO has been read. NULL: out of memory. */
struct pccl_lane_guest *pccl_lane_guest_create(struct pccl_stream *stream, const struct pccl_hello *hello);

#endif
