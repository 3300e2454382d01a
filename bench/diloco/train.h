/* diloco-train: a character model that several processes train together. What its files share. */
#ifndef PCCL_BENCH_DILOCO_TRAIN_H
#define PCCL_BENCH_DILOCO_TRAIN_H

#include <pccl/diagnostics.h>
#include <pccl/diloco.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../lab/lab.h"

#define TRAIN_PEERS_MAX 16
#define TRAIN_RUNS_MAX 8
#define TRAIN_SAMPLES 60
#define TRAIN_DDP (-1) /* in the place of a mode: data-parallel, gradients averaged in every step */

/* ---- text.c: licences in English, which Debian's package base-files has on every machine --------------------- */

struct text {
	uint8_t *train, *test; /* symbols below TEXT_SYMBOLS */
	size_t train_count, test_count;
};

#define TEXT_SYMBOLS 96

/* False: there is none, and stderr says so. */
bool text_load(struct text *text);

/* ---- model.c: embedding of the last characters, one hidden layer, the next character; trained with Adam ------- */

#define MODEL_TENSORS 59 /* the large matrices in parts, so that fragments can be about equal */

#define MODEL_NAME_BYTES 24

struct model {
	float *values, *gradients, *first, *second; /* parameters, and Adam's moments */
	size_t count;
	uint64_t steps;
	pcclTensorInfo_t tensors[MODEL_TENSORS];
	char names[MODEL_TENSORS][MODEL_NAME_BYTES];
	struct model_work *work;
};

bool model_create(struct model *model, uint64_t seed);
void model_destroy(struct model *model);

/* Sets the gradients of one batch of random places of the text; returns its mean loss in nats per character. */
float model_gradient(struct model *model, const struct text *text, uint64_t *random);

/* One step of Adam. */
void model_step(struct model *model, float rate);

/* Mean loss on the text that is not trained on, with these parameters. */
float model_evaluate(struct model *model, const float *values, const struct text *text);

/* ---- main.c, run.c, peer.c, report.c ------------------------------------------------------------------------- */

struct options {
	unsigned peers, steps;
	uint64_t seed;
	int modes[TRAIN_RUNS_MAX];
	unsigned run_count;
	pcclDilocoSettings_t settings; /* of all runs but data-parallel ones */
	bool chaos, json;
	bool is_slow;	 /* the last peer takes twice the time for a step */
	double step_ms;	 /* least time of a step */
	bool has_link;	 /* `lab` is set */
	struct lab lab;	 /* where peers are, each behind a link of its own */
	const char *svg; /* NULL: none */
};

struct sample {
	double bytes; /* sent per peer until then */
	double loss;
};

/* What one run has come to; in shared memory while it runs. */
struct outcome {
	int mode;
	uint64_t progress; /* steps of the first peer */
	/* By peer: is it a member; has it trained to the end; and may all leave, for all have? Who left while others
	 * still wait in a round would make them do it again. */
	bool has_joined[TRAIN_PEERS_MAX], is_done[TRAIN_PEERS_MAX], may_leave;
	unsigned killed, joined;	  /* chaos */
	uint64_t missed[TRAIN_PEERS_MAX]; /* rounds without this peer */
	double loss, wait_share, seconds; /* of the first peer */
	double bytes, peak;		  /* mean of all peers, the worst of them */
	double peer_bytes[TRAIN_PEERS_MAX], peer_peak[TRAIN_PEERS_MAX];
	uint64_t parameters, rounds, repeated, steps;
	uint64_t hashes[TRAIN_PEERS_MAX]; /* of the outer parameters; 0: the peer has not ended */
	unsigned divergences;
	struct sample samples[TRAIN_SAMPLES];
	unsigned sample_count;
};

/* A process of a run, from its beginning to its end; returns its exit status. */
struct peer_start {
	const struct options *options;
	const struct text *text;
	struct outcome *outcome;
	ccoip_socket_address_t master;
	bool is_newcomer; /* the others train already */
};
int peer_body(uint32_t index, void *start);

/* One run with all its processes. False: it failed. */
bool run_training(const struct options *options, const struct text *text, int mode, struct outcome *outcome);

const char *mode_name(int mode);
void report_table(const struct options *options, const struct outcome *outcomes);
void report_json(const struct options *options, const struct outcome *outcomes);
bool report_svg(const struct options *options, const struct outcome *outcomes);

#endif
