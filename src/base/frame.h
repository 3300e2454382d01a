/* The header in front of everything that travels between processes: 48 bytes, little-endian, its own checksum.
 * docs/PROTOCOL.md is the specification. Pure bytes; both the transports and the executor speak it. */
#ifndef PCCL_BASE_FRAME_H
#define PCCL_BASE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pccl.h>

#define PCCL_FRAME_MAGIC 0x4c434350u /* "PCCL" read as little-endian */
#define PCCL_FRAME_VERSION 5	     /* grows with any change to what travels, messages included */
#define PCCL_FRAME_BYTES 48
#define PCCL_FRAME_PAYLOAD_MAX (16u << 20) /* no frame of any type carries more */

/* What a frame is. Values are wire format. */
enum pccl_frame_type {
	/* streams of any kind */
	PCCL_FRAME_HELLO = 1,	/* first on every connection; payload: who I am, whom I want, for what */
	PCCL_FRAME_WELCOME = 2, /* the answer; payload: nothing, or the reason of a refusal when aux != 0 */
	/* control connections */
	PCCL_FRAME_MESSAGE = 3, /* payload: one membership message */
	/* data streams */
	/* an op was launched here; payload: its signature; aux: initial credit; segment: joint calls before it */
	PCCL_FRAME_START = 16,
	PCCL_FRAME_PARTIAL = 17, /* elements to be added by the receiver; segment, payload */
	PCCL_FRAME_RESULT = 18,	 /* final elements; segment, payload */
	PCCL_FRAME_CREDIT = 19,	 /* aux partial segments may come in all, so that it is idempotent */
	PCCL_FRAME_DONE = 20,	 /* this lane holds all of its share of the op's result */
	PCCL_FRAME_ACK = 21,	 /* carries nothing but `received` */
	PCCL_FRAME_REFUSE = 22,	 /* the op has failed here: nothing more comes for it; flags: why */
	/* data streams, between ops: state. tag: which call, or which list of tensors */
	PCCL_FRAME_OFFER = 23, /* the sender serves its state */
	PCCL_FRAME_WANT = 24,  /* send me chunk `segment` of space `sequence` */
	PCCL_FRAME_PART = 25,  /* part `aux` of that; payload */
	/* data streams, of ops again: a digest of part `segment` of the result, to be compared before DONE */
	PCCL_FRAME_CHECK = 26
};

/* Flag of PARTIAL, RESULT and PART: the payload has been through the lossless stage, and is shorter than what it stands
 * for. */
#define PCCL_FRAME_PACKED 1u
/* Likewise: it has no checksum, payload_crc is 0. Links set it. */
#define PCCL_FRAME_UNCHECKED 2u

/* Flag of OFFER, WANT and PART: between a member and one that is to be, before a view has both. */
#define PCCL_FRAME_EARLY 4u

/* Why an op was refused: the flags of REFUSE. Values are wire format. */
enum pccl_frame_refusal {
	PCCL_REFUSAL_SIGNATURE = 0, /* signatures differ */
	/* The codec can't carry element `aux` of `segment`, of the sender's contribution or of a result it has made. */
	PCCL_REFUSAL_CONTRIBUTION = 1,
	PCCL_REFUSAL_RESULT = 2,
	PCCL_REFUSAL_HEARD = 3, /* another rank has refused it, and tells everybody itself */
	PCCL_REFUSAL_ROOT = 4,	/* the root of the op is gone */
	/* The result of rank `segment` differs from the sender's; rank `aux` may be behind it, UINT32_MAX: unknown. */
	PCCL_REFUSAL_DIGEST = 5
};

/* One decoded header. Fields that a type does not use are 0. */
struct pccl_frame {
	uint8_t type; /* enum pccl_frame_type */
	uint8_t lane;
	uint8_t flags;
	uint32_t payload_bytes;
	uint32_t epoch; /* of the view the op runs in */
	uint64_t tag;
	uint32_t sequence; /* of that tag */
	uint32_t segment;
	uint32_t aux;	      /* meaning depends on type */
	uint32_t received;    /* frames received completely on this stream so far, wraps: lets the sender forget them */
	uint32_t payload_crc; /* CRC32C of the payload; 0 without payload, or if it is UNCHECKED */
};

/* One frame to be sent, from whoever has something to say to whoever carries it. `payload` is borrowed until the other
 * side has acknowledged the frame or the op is cancelled. A payload without cookie, of an op that is not waited for, is
 * copied at once if it has no more than PCCL_FRAME_COPIED_MAX bytes. */
#define PCCL_FRAME_COPIED_MAX 32

struct pccl_frame_send {
	struct pccl_frame frame; /* without lane and received, and payload_crc if 0: the carrier fills them in */
	const void *payload;
	void *token;  /* told back when the payload is not needed any more; NULL: nothing to tell */
	void *cookie; /* the op it belongs to, to find what must be forgotten when that is cancelled */
};

/* The answer to a header that came in. */
enum pccl_frame_verdict {
	PCCL_FRAME_TAKE,    /* read the payload to the destination, verify it, and say so */
	PCCL_FRAME_DISCARD, /* read and drop the payload, say nothing */
	PCCL_FRAME_HOLD,    /* not now: read nothing more from this stream until told */
	PCCL_FRAME_REJECT   /* against the protocol: pccl_fail_text() says how; close the stream */
};

/* Does it carry elements, of a segment or of a state: PARTIAL, RESULT or PART? */
bool pccl_frame_is_segment(const struct pccl_frame *frame);

/* Has the payload a checksum, if there is one? */
bool pccl_frame_is_checked(const struct pccl_frame *frame);

/* Writes the header with its checksum. */
void pccl_frame_encode(const struct pccl_frame *frame, uint8_t out[PCCL_FRAME_BYTES]);

/* What came instead of a frame is the beginning of a TLS connection, or an alert of one; and what that means. */
#define PCCL_FRAME_TLS_WORDS \
	"it speaks TLS, this side does not: it asks for a join secret (PCCL_SECRET_FILE) or a certificate"
bool pccl_frame_is_tls(const uint8_t *bytes, size_t count);

/* Is it a header of another version of the protocol? Magic and version are where they are in all of them. */
bool pccl_frame_is_of_other_version(const uint8_t in[PCCL_FRAME_BYTES]);

/* Reads and verifies magic, version, checksum, known type, payload limit. On failure the cause is recorded with
 * pccl_fail() and *frame_out is undefined: the connection can't be trusted any more. */
pcclResult_t pccl_frame_decode(const uint8_t in[PCCL_FRAME_BYTES], struct pccl_frame *frame_out);

#endif
