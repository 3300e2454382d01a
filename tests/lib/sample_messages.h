/* One message of every type with every field set, for tests of the codec and for the fuzz target's corpus. */
#ifndef PCCL_TESTS_SAMPLE_MESSAGES_H
#define PCCL_TESTS_SAMPLE_MESSAGES_H

#include "membership/message/message.h"

#define SAMPLE_COUNT 25

/* Number `index` below SAMPLE_COUNT; the caller owns it. */
struct pccl_message *sample_message(uint32_t index);

/* Are two messages the same in every field? */
bool same_message(const struct pccl_message *left, const struct pccl_message *right);

#endif
