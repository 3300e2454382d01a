/* A control connection: whole messages both ways over one stream, bounded queues. Used by peer (dials) and master (accepts). */
#ifndef PCCL_TRANSPORT_CHANNEL_H
#define PCCL_TRANSPORT_CHANNEL_H

#include "transport/transport.h"

struct pccl_channel;

struct pccl_channel_events {
	void (*opened)(void *context, struct pccl_channel *channel); /* dialled channels only */
	/* A message; the bytes are the channel's and valid during the call. */
	void (*message)(void *context, struct pccl_channel *channel, const uint8_t *data, size_t bytes);
	/* It broke or the other side broke the protocol; the user closes it. */
	void (*broken)(void *context, struct pccl_channel *channel, const char *reason);
};

/* Connects to the first of the addresses that answers, tried in turn, each within its share of timeout_ns. broken() follows
 * if none does, with the last cause. */
pcclResult_t pccl_channel_dial(struct pccl_loop *loop, const struct pccl_transport *transport,
			       const struct pccl_address *addresses, size_t address_count, uint64_t timeout_ns,
			       const struct pccl_channel_events *events, void *context, struct pccl_channel **channel_out);

/* Makes a channel of an attached-to-nobody stream whose HELLO has been read. */
pcclResult_t pccl_channel_adopt(struct pccl_loop *loop, const struct pccl_transport *transport, struct pccl_stream *stream,
				const struct pccl_channel_events *events, void *context,
				struct pccl_channel **channel_out);

/* Queues a message; takes over `data` (pccl_free). A channel whose queue passes its bound (64 MiB) breaks. */
void pccl_channel_send(struct pccl_channel *channel, uint8_t *data, size_t bytes);

/* Remote address, numeric; valid as long as the channel. */
const char *pccl_channel_remote(const struct pccl_channel *channel);

/* Closes after flushing what is queued (bounded), or at once. No callback afterwards. Safe inside callbacks. */
void pccl_channel_close(struct pccl_channel *channel, bool flush);

#endif
