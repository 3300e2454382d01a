/* A session of one lane by itself: its lane is played by the test, without an executor. */
#ifndef PCCL_TESTS_LONE_SESSION_H
#define PCCL_TESTS_LONE_SESSION_H

#include "session/session.h"

#define LONE_ELEMENTS 1024

extern float input[LONE_ELEMENTS], output[LONE_ELEMENTS];

/* Up to four members, whose uuids begin with 1, 2, 3, 4. */
struct pccl_install install_of(uint32_t epoch, uint32_t count, bool newcomers);

/* Rank 0 in a view of so many; its INSTALL is the first command. */
struct pccl_session *session_in_view(uint32_t count);

/* A sum of floats, out of place. */
struct pccl_op_request sum_of(size_t count, uint64_t tag);

/* Takes the next command, which must be of this type; the caller looks at it until the next call. */
struct pccl_command *expect(struct pccl_session *session, enum pccl_command_type type);
void expect_nothing(struct pccl_session *session);

uint64_t signature_of(struct pccl_op_request request);

/* What a lane says when its share has ended. */
void end_share(struct pccl_session *session, void *cookie, pcclResult_t result);

struct pccl_op *launched(struct pccl_session *session, struct pccl_op_request request, void **cookie_out);

/* Freezes with no executor behind, so nothing is held. */
void freeze(struct pccl_session *session);

/* Installs the next view, of two, with one decision. */
pcclResult_t decide(struct pccl_session *session, struct pccl_op_decision *decision);

#endif
