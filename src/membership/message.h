/* Membership messages: what travels in PCCL_FRAME_MESSAGE between peer and master. Every layout and limit is here and in
 * docs/PROTOCOL.md. */
#ifndef PCCL_MEMBERSHIP_MESSAGE_H
#define PCCL_MEMBERSHIP_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <pccl.h>

#include "membership/view.h"

struct pccl_message; /* owned by whoever holds it */

/* Encodes into a fresh buffer of *bytes_out bytes (pccl_free). Returns pcclOutOfMemory; pcclInvalidArgument beyond the
 * limit of a frame. */
pcclResult_t pccl_message_encode(const struct pccl_message *message, uint8_t **data_out, size_t *bytes_out);

/* Decodes; everything comes from outside and is checked. The caller owns *message_out (pccl_message_destroy). */
pcclResult_t pccl_message_decode(const uint8_t *data, size_t bytes, struct pccl_message **message_out);

void pccl_message_destroy(struct pccl_message *message);

#endif
