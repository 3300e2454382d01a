/*
 * A reliable-connected pair of queues with the memory of its two rings: what this side's device writes from, and what
 * the other side's writes into. It knows how messages go and come, and not what they mean. A device, its descriptors
 * and the memory are the pair's alone. pair_none.c stands in for pair.c where the library is built without verbs.
 */
#ifndef PCCL_TRANSPORT_RDMA_PAIR_H
#define PCCL_TRANSPORT_RDMA_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/address.h"
#include "transport/networks.h"
#include "transport/rdma/terms.h"

#define PCCL_RDMA_TRUSTED "PCCL_RDMA_TRUSTED" /* lists networks on which bytes need no encryption */

struct pccl_pair;

/* Devices that connections are spread over: what PCCL_RDMA_DEVICE lists, else 1. */
uint32_t pccl_pair_rails(void);
/* `local` is this side's address of the connection beside it: the device's, by default. `rail`, counted round, is which
 * one of several devices. `trusted`: the networks that its end may be in, NULL: any; pcclInvalidUsage: it is in none of
 * them, and nothing was made but that the device was opened. pcclSystemError. Both in words. */
pcclResult_t pccl_pair_create(const struct pccl_address *local, uint32_t rail, const struct pccl_networks *trusted,
			      struct pccl_pair **pair_out);
void pccl_pair_destroy(struct pccl_pair *pair);

#define PCCL_PAIR_DESCRIBE_BYTES 128
/* Device, port, GID and size of packets, for people. */
void pccl_pair_describe(const struct pccl_pair *pair, char out[PCCL_PAIR_DESCRIBE_BYTES]);
const char *pccl_pair_device(const struct pccl_pair *pair);
/* This side's end. */
void pccl_pair_tell(const struct pccl_pair *pair, struct pccl_terms_end *end_out);
/* Joins it with the other side's, which comes from outside and is at the other end of the connection beside it. Both
 * sides can hear from then on. pcclSystemError, in words. */
pcclResult_t pccl_pair_join(struct pccl_pair *pair, const struct pccl_terms_end *other,
			    const struct pccl_address *remote);

/* Becomes readable when an armed pair has something to hear. */
int pccl_pair_bell(const struct pccl_pair *pair);
/* It has rung. Until that is said, a pair that was armed stays so. */
void pccl_pair_hear_bell(struct pccl_pair *pair);
/* Where bytes to the other side are put, and where its bytes are, each a ring. */
uint8_t *pccl_pair_out(const struct pccl_pair *pair);
const uint8_t *pccl_pair_in(const struct pccl_pair *pair);

/* Sends that may be queued now. */
uint32_t pccl_pair_sends_left(const struct pccl_pair *pair);
/* Writes from a place of the ring to the same place of the other side's, and says 32 bits; no bytes: says only. False:
 * the pair is broken, failure() says why. There must be a send left. */
bool pccl_pair_send(struct pccl_pair *pair, size_t at, size_t bytes, uint32_t said);

/* What has come, up to `most` of it: what each message said. -1: the pair is broken; failure() says why. */
int pccl_pair_hear(struct pccl_pair *pair, uint32_t *said_out, int most);
/* Notes what has been acknowledged. False: the pair is broken. */
bool pccl_pair_note_sent(struct pccl_pair *pair);
/* Bytes that the other side's device has. */
uint64_t pccl_pair_acked(const struct pccl_pair *pair);
bool pccl_pair_all_acked(const struct pccl_pair *pair);
/* When that was last so of any message, with bytes or without; 0: never yet. */
uint64_t pccl_pair_acked_ns(const struct pccl_pair *pair);
/* Since when nothing has been acknowledged though something is on its way; 0: nothing is. */
uint64_t pccl_pair_waits_since_ns(const struct pccl_pair *pair);

/* The bell rings for what comes from now on; for acknowledgements, too, if `sends`. What came before is to be looked
 * for afterwards. False: the pair is broken. */
bool pccl_pair_arm(struct pccl_pair *pair, bool sends);

const char *pccl_pair_failure(const struct pccl_pair *pair);

#endif
