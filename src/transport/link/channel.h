/* A control connection: whole messages both ways over one stream, bounded queues. Used by peer (dials) and master
 * (accepts). Loop thread only. */
#ifndef PCCL_TRANSPORT_CHANNEL_H
#define PCCL_TRANSPORT_CHANNEL_H

#include "transport/link/dialler.h"

#define PCCL_CHANNEL_QUEUE_BYTES (64u << 20)

struct pccl_channel;

/* Each callback but expect() may close the channel. */
struct pccl_channel_events {
	/* The other side has said WELCOME; dialled channels only, may be NULL for adopted ones. */
	void (*opened)(void *context, struct pccl_channel *channel);
	/* A message of so many bytes begins; anything but success, with pccl_fail_text(), breaks the channel. NULL: all
	 * are welcome. */
	pcclResult_t (*expect)(void *context, struct pccl_channel *channel, uint32_t bytes);
	/* A message; the bytes are the channel's and valid during the call. */
	void (*message)(void *context, struct pccl_channel *channel, const uint8_t *data, size_t bytes);
	/* It broke, or was refused, or the other side broke the protocol; the user closes it, now or later. Nothing
	 * follows. Never from inside one of the functions below. */
	void (*broken)(void *context, struct pccl_channel *channel, const char *reason);
};

/* Connects to the first of the places that answers within timeout_ns; they are dialled almost at once. opened()
 * follows, or broken() with the causes if none answers. Messages may be sent at once: they wait. */
pcclResult_t pccl_channel_dial(struct pccl_loop *loop, const struct pccl_place *places, uint32_t place_count,
			       uint64_t timeout_ns, const struct pccl_channel_events *events, void *context,
			       struct pccl_channel **channel_out);

/* Makes a channel of a detached stream whose HELLO has been read, and says WELCOME. Takes the stream over in any case.
 */
pcclResult_t pccl_channel_adopt(struct pccl_loop *loop, struct pccl_stream *stream,
				const struct pccl_channel_events *events, void *context,
				struct pccl_channel **channel_out);

/* Queues a message of 1 to PCCL_FRAME_PAYLOAD_MAX bytes; takes over `data` (pccl_free). A channel whose queue passes
 * its bound, or that is given a longer message, breaks. On a broken channel it does nothing. */
void pccl_channel_send(struct pccl_channel *channel, uint8_t *data, size_t bytes);

/* After broken(), of one that was dialled: nobody there is secured as this side is, or lets it in. Dialling again
 * is in vain until settings change. */
bool pccl_channel_is_unfit(const struct pccl_channel *channel);

/* Of an open one. False: it is not protected. */
bool pccl_channel_bond(const struct pccl_channel *channel, struct pccl_bond *bond_out);

/* How long there and back takes over an open one, at best; 0: not known. */
uint64_t pccl_channel_trip_ns(const struct pccl_channel *channel);

/* Remote address, numeric, without port; valid as long as the channel. */
const char *pccl_channel_remote(const struct pccl_channel *channel);

/* Closes after flushing what is queued (within a second), or at once. No callback afterwards. Safe inside callbacks. */
void pccl_channel_close(struct pccl_channel *channel, bool flush);

#endif
