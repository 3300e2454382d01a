/*
 * pccl: DiLoCo, training over slow links with hundreds of times fewer bytes.
 *
 *	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
 *	pcclDiloco_t *engine;
 *
 *	settings.interval = 100;
 *	pcclDilocoCreate(comm, tensors, tensor_count, &settings, &engine);
 *	for (step = 0; step < steps; step++) {
 *		... one inner step on the parameters, with any optimizer ...
 *		pcclDilocoStep(engine, tokens);
 *	}
 *	pcclDilocoFlush(engine);
 *	pcclDilocoDestroy(engine);
 *
 * Words. Each peer trains its *local* parameters. The engine keeps *outer* parameters, the same bits on all peers. The
 * parameters are divided into *fragments* of whole tensors. A *round* is one exchange of one fragment: each peer gives
 * its pseudo-gradient (outer minus local), all get the weighted mean g, and an outer *rule* makes new outer parameters
 * of it, from which the local ones go on. H is the interval, in steps, m the outer momentum, mu its factor, lr the
 * outer learning rate. All arithmetic is in binary32, element by element, without fused operations.
 *
 * Modes (arXiv numbers of the papers):
 *
 *	synchronous	2311.08105. Every H steps all fragments are exchanged; the step returns when that has ended.
 *	delayed		2502.12996. Every H steps: the mean of the round that began H steps ago is applied, local
 *			becomes outer, and the round of the last H steps begins, which has H steps of time.
 *	eager		2502.12996. As delayed, and this peer's own fresh pseudo-gradient takes the place of its share
 *			in the old mean: the paper's old mean + (fresh - own old one) / peers, with weights. It is
 *			computed in two parts: local = outer + e, where e goes through the outer rule with share * fresh
 *			less what that was the last time for a gradient. The rule is linear, so the sum is the paper's,
 *			and outer stays the same on all peers. With pcclDilocoNesterov only.
 *	streaming	2501.18512. Each fragment has its own step in H at which its round begins. What comes of it
 *			is taken over `overlap` steps later: local = alpha * local + (1 - alpha) * outer.
 *
 * A mean that comes H steps late wants less momentum: with 0.9 delayed and eager training of bench/diloco's model
 * oscillates, with 0.5 it does not (docs/BENCHMARKS.md).
 *
 * Rules, with g the weighted mean:
 *
 *	Nesterov	2311.08105. m = mu m + g; outer -= lr (g + mu m)
 *	CO2		2401.16265. m = mu m + g / gap, each element of m clipped to -clip ... clip, outer -= lr m: as
 *			its authors' code has it, where gap is a constant (and the clipped values are thrown away).
 *			Here gap is measured, element by element, as gap-aware training does (1909.10802):
 *			d = |outer - outer of the round before|, c = 0.9 c + 0.1 mean(d), at first mean(d), of the
 *			fragment, summed in order in binary64; gap = d / c + 1. The formula was not compared with the
 *			text of 2401.16265, which was not at hand: where that has another one, this is not CO2's.
 *
 * What travels. A round is an all-gather of 80 bytes per peer (weights, what is exchanged, a digest of the outer
 * parameters), then all-reduces of the fragment in `codec`, in one piece or in several. Fragment f and its pieces have
 * 65 tags of their own from `tag` + 65 f on, which nobody else may use (engines of one communicator that overlap, and
 * the program's operations under them, are refused): which exchange is which is agreed by name, and never by the time
 * of a call. Up to 16 rounds are in flight at once, further ones wait for their turn.
 *
 * Pace. Where a round has time (all modes but synchronous), its pieces begin at steps of their own, evenly spread, so
 * that a link carries the average rate and not the peak: over the steps from the beginning of one round to that of
 * the next, or over 7/8 of the time from its beginning to taking it over, whichever is less. What is left of that
 * time goes in halves to the roll call, before the pieces, and to the last of them. For an even rate in streaming
 * choose an overlap of H / P and some round trips more, and fragments of about one size. Pieces have 256 elements or
 * more.
 *
 * Weights. pcclDilocoStep() says how much the step weighs (tokens, or 1), from 0 to 1e30. A contribution weighs the sum
 * since the one before. Who did nothing gives 0 and counts for nothing.
 *
 * Numbers. A peer whose local parameters are no finite numbers (its training has diverged) gives nothing: it takes part
 * with weight 0, what it did is lost, and when the round is taken over its local parameters of that fragment become the
 * outer ones, in streaming too. Its pcclDilocoStep() is pcclInvalidArgument, and the last error names tensor and
 * element; the engine goes on, and nobody else notices. Its optimizer may have such numbers as well, which is for the
 * program to mend. A round that would make outer parameters or their momentum no finite numbers fails, on all peers
 * alike.
 *
 * Losses. If a member is lost in a round, the survivors do that round again among themselves, from their untouched
 * contributions: no step is lost, weights are those of who took part, residuals of error feedback are kept once, with
 * the exchange that counted. A peer that is left alone goes on alone.
 *
 * Stragglers. In synchronous mode a round may have a `quorum`. As soon as so many peers wait for it, the others come to
 * it at the end of the step they are in, with what they have done until then: a slow peer does fewer steps, and weighs
 * less. Who has not come when the quorum has waited for `grace_ms` is done without, which all peers agree on: its
 * engine takes part with nothing, and what it has trained stays in its local parameters, is moved to the new outer ones
 * at its next step, and goes into its next contribution. The interval is counted from the last round that a peer has
 * taken over. Peers make different numbers of steps then, so what all do jointly (flush, admit, end) has to go by the
 * number of rounds in pcclDilocoStatistics_t, which changes in Step and Flush only. The quorum itself is waited for as
 * long as it takes: operation_timeout_ms bounds operations, and those end. While training goes on, an all-gather of 44
 * bytes is in flight, several times in a grace time.
 *
 * Joint calls. Rounds in flight are in nobody's way: pcclStateCheck(), pcclSynchronizeSharedState(), pcclStateSync(),
 * pcclArePeersPending() and pcclOptimizeTopology() may be called between steps at any time, by all members after as
 * many steps. Only the program's own operations have to be awaited before. pcclUpdateTopology() would bring in peers
 * that know nothing of those rounds: while there are any (`in_flight` in pcclDilocoStatistics_t; with a quorum from the
 * first step after a flush to the next flush) it is pcclPendingAsyncOps at once, on all members, for they all have the
 * same ones after as many steps. pcclDilocoFlush() first.
 *
 * Newcomers. The engine admits nobody. At a step that all members agree on, for example every 1000th, or when
 * pcclArePeersPending() says so to all: pcclDilocoFlush(), pcclUpdateTopology(), pcclDilocoState(), and
 * pcclSynchronizeSharedState() with that. The newcomer, whom pcclConnect() has let in: pcclDilocoCreate(),
 * pcclDilocoState(), pcclSynchronizeSharedState(), pcclDilocoResume(engine, true). It has outer parameters, momentum
 * and the place in the schedule then, nothing is in flight, and it counts for what it does from then on.
 *
 * Threads. An engine has a thread for each round that can be in flight at once. Its functions must not be called at the
 * same time; its parameters must not be changed by others while pcclDilocoStep(), pcclDilocoFlush() or
 * pcclDilocoResume() run. A step without anything due costs a few nanoseconds, one at which a piece begins about a
 * microsecond, one at which a round begins or is taken over passes over that fragment, and waiting if the exchange has
 * not ended. Other collectives on other tags go on meanwhile.
 *
 * Failures. All functions return pcclInvalidArgument for NULL pointers, pcclInvalidUsage in a forked child. These
 * results end the engine; steps and flushes from then on return the same:
 *
 *	pcclEvicted		the communicator has ended
 *	pcclAborted		likewise
 *	pcclTimeout		peers have missed an operation's deadline (operation_timeout_ms), or one has ended
 *				its engine in the middle of a round. For all who wait in that round or come to it
 *	pcclMismatch		peers have different tensors, settings or rounds, or outer parameters that differ;
 *				the last error says which peer. On all peers
 *	pcclInvalidArgument	a codec met what it can't carry, or outer parameters would become no finite
 *				numbers. On all peers
 *	any other		a callback has failed, or memory. On this peer; the others wait in the next round
 *				until it leaves the group
 *
 * What is left then: local parameters as they were trained (where a callback failed, or a step had taken over some
 * fragments before it failed, these are new); outer parameters, momentum and all else of pcclDilocoState(), which can
 * be called now: each fragment as the last round has made it that ended well, momentum and residuals of that round too,
 * rounds that failed as if they had not begun, the weight of what was trained for them back where it was. To go on:
 * copy that, pcclDilocoDestroy(), pcclDilocoCreate() with another `tag` (operations of the old ones may have been begun
 * by some peers only), pcclDilocoState(), the copies into its tensors, pcclSynchronizeSharedState() (the peers may have
 * failed at different rounds; if pcclStateLoad() has set the state's `revision`, set it to 0), pcclDilocoResume().
 */
#ifndef PCCL_DILOCO_H
#define PCCL_DILOCO_H

#include "pccl.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pcclDiloco_t pcclDiloco_t;

typedef enum pcclDilocoMode_t {
	pcclDilocoSynchronous = 0,
	pcclDilocoDelayed = 100,
	pcclDilocoEager = 101,
	pcclDilocoStreaming = 102
} pcclDilocoMode_t;

typedef enum pcclDilocoRule_t { pcclDilocoNesterov = 0, pcclDilocoCo2 = 100 } pcclDilocoRule_t;

/* How tensors become fragments. */
typedef enum pcclDilocoDivision_t {
	pcclDilocoBalanced = 0,	 /* the largest first, each to the smallest fragment so far; equal ones by name */
	pcclDilocoStrided = 100, /* in the order of the list, in turn: neighbours are in different fragments */
	pcclDilocoGiven = 101	 /* as `fragment_of` says */
} pcclDilocoDivision_t;

/* Where parameters are if not in memory: elements first ... first + count - 1 of tensor `tensor` (its place in the
 * list) are read into, or written from, memory of the library. Called within pcclDilocoCreate(), Step, Flush and
 * Resume, by the thread that called these. Not pcclSuccess: the call ends with that result, and the engine with it. */
typedef pcclResult_t (*pcclDilocoRead_t)(void *context, size_t tensor, size_t first, size_t count, float *to);
typedef pcclResult_t (*pcclDilocoWrite_t)(void *context, size_t tensor, size_t first, size_t count, const float *from);

/* Initialize with PCCL_DILOCO_SETTINGS_INITIALIZER, then change what you need. Copied. All peers must choose alike but
 * for the callbacks and zstd. */
typedef struct pcclDilocoSettings_t {
	size_t size;
	pcclDilocoMode_t mode;
	pcclDilocoRule_t rule;
	uint32_t interval;   /* H: inner steps between two rounds of a fragment; default 100 */
	uint32_t fragments;  /* P: at most the number of tensors, and H; default 1. If H is not a multiple of P the
				 * rounds of streaming are not evenly apart: a warning is logged, and
				 * pcclDilocoStatistics_t says the least and the greatest distance */
	uint32_t overlap;    /* streaming: steps between the beginning of a round and taking it over; below H */
	float alpha;	     /* streaming: how much of the local parameters stays, 0 to 1 (not 1); default 0.5 */
	float learning_rate; /* lr; default 0.7 */
	float momentum;	     /* mu; default 0.9 */
	float clip;	     /* CO2: greatest magnitude of an element of the momentum; default 0: no limit */
	bool penalize;	     /* CO2: divide by the gap; default true */
	bool error_feedback; /* keep what the codec takes away, and add it to the next contribution; default false */
	bool check_parity;   /* compare digests of the outer parameters in each round; default true */
	pcclDilocoDivision_t division;
	const uint32_t *fragment_of; /* pcclDilocoGiven: for each tensor; every fragment has to have one */
	uint64_t tag;		     /* the first of 65 P + 1 that are the engine's; default 0xd110c000. The library's
				      * own, 0x7063636c73746174 and 0xfffffffffffffe11, can't be among them */
	pcclQuantizationAlgorithm_t codec;
	pcclQuantizationAlgorithm_t codec_down; /* pcclQuantNone: as `codec`; pcclQuantPlain goes with a codec */
	pcclRounding_t rounding;
	pcclZstd_t zstd;
	pcclDilocoRead_t read; /* both or none; then data of tensors may be NULL */
	pcclDilocoWrite_t write;
	void *context;
	uint32_t pieces;   /* most pieces of a fragment, 1 to 64; default 0: 64 */
	uint32_t quorum;   /* synchronous: so many peers have to come to a round, or all if there are fewer; 4096 at
			    * most; default 0: all of them */
	uint32_t grace_ms; /* with a quorum: and then wait for so long for the others; default 0 */
	uint32_t reserved[1];
} pcclDilocoSettings_t;

/* clang-format off */
#define PCCL_DILOCO_SETTINGS_INITIALIZER \
	{sizeof(pcclDilocoSettings_t), pcclDilocoSynchronous, pcclDilocoNesterov, 100, 1, 0, 0.5f, 0.7f, 0.9f, 0.0f, \
	 true, false, true, pcclDilocoBalanced, NULL, 0xd110c000, pcclQuantNone, pcclQuantNone, pcclRoundNearest, \
	 pcclZstdDefault, NULL, NULL, NULL, 0, 0, 0, {0}}
/* clang-format on */

/* Set `size` (PCCL_DILOCO_STATISTICS_INITIALIZER) before the call. Of this engine since it was created. */
typedef struct pcclDilocoStatistics_t {
	size_t size;
	uint64_t steps;
	uint64_t rounds;   /* taken over */
	uint64_t repeated; /* times that a round was done again because a member was lost */
	uint64_t alone;	   /* rounds without anybody else */
	uint64_t tx_bytes; /* payload sent for rounds, those that were repeated included */
	uint64_t rx_bytes;
	uint64_t wait_ns;   /* that steps and flushes have waited for exchanges */
	uint64_t busy_ns;   /* that rounds have taken, from their beginning to their end, added up */
	double last_weight; /* of all participants of the round that was last taken over */
	double last_share;  /* of this peer in that */
	uint32_t last_participants;
	uint32_t in_flight;	 /* rounds that have begun and are not taken over yet */
	uint32_t distance_least; /* steps from the beginning of a round to that of the next, over one interval */
	uint32_t distance_most;
	uint64_t largest_bytes; /* of a fragment, as float32 */
	uint64_t missed;	/* rounds that went on without this peer */
	uint32_t reserved[2];
} pcclDilocoStatistics_t;

/* clang-format off */
#define PCCL_DILOCO_STATISTICS_INITIALIZER \
	{sizeof(pcclDilocoStatistics_t), 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0, 0, 0, 0, 0, 0, {0}}
/* clang-format on */

/*
 * Creates an engine over `count` tensors of pcclFloat with different names; `data` is where the local parameters are,
 * now and until the engine ends. The outer parameters begin as what the local ones are: these have to be the same on
 * all peers. Names are copied. `settings` may be NULL. Takes memory for 3 to 7 copies of the parameters, by mode and
 * codec. No network activity. A communicator that is destroyed before its engines leaves its group at once and is freed
 * with the last of them; what needs it is pcclInvalidUsage from then on. pcclInvalidArgument: a tensor or a setting
 * that can't be, which the last error names, with those that can: no elements, an unknown value of an enumeration, a
 * setting of another mode or rule, a name twice, not in UTF-8 or beyond 32,767 bytes, tags that are somebody else's.
 * pcclOutOfMemory, pcclSystemError. That all numbers are finite is not looked at, for what pcclDilocoResume() goes on
 * from may be still to come: with others the first round fails, on all peers, and names tensor and element.
 */
PCCL_EXPORT pcclResult_t pcclDilocoCreate(pcclComm_t *communicator, const pcclTensorInfo_t *tensors, size_t count,
					  const pcclDilocoSettings_t *settings PCCL_NULLABLE,
					  pcclDiloco_t **engine_out);

/* To be called after every inner step: `weight` is how much it counts. Begins rounds and takes them over when they are
 * due; see the modes. All members make as many steps. pcclInvalidArgument: the weight is below 0, above 1e30 or no
 * number, and nothing was done; or this peer's parameters are no numbers, and all is done (see Numbers); or the engine
 * has ended (see Failures). */
PCCL_EXPORT pcclResult_t pcclDilocoStep(pcclDiloco_t *engine, double weight);

/* May the next pcclDilocoStep() have anything to do? If not, it takes a few nanoseconds and touches no parameter; else
 * it may wait. With a quorum that can't be told before, and the answer is true. */
PCCL_EXPORT pcclResult_t pcclDilocoIsDue(pcclDiloco_t *engine, bool *due_out);

/* Waits for all rounds that have begun, and takes them over. A joint step: all members call it after the same number of
 * steps. What was trained since the last rounds began stays in the local parameters, and goes into the next ones. */
PCCL_EXPORT pcclResult_t pcclDilocoFlush(pcclDiloco_t *engine);

/*
 * The engine's state as tensors, for pcclStateSave(), pcclStateLoad() and pcclSynchronizeSharedState():
 * "diloco.outer/NAME", "diloco.momentum/NAME", for CO2 "diloco.before/NAME", with error feedback
 * "diloco.residual/NAME", in eager mode "diloco.own/NAME", "diloco.deviation/NAME" and
 * "diloco.deviation_momentum/NAME", then "diloco.weights" (these, and residuals, differ between peers), and
 * "diloco.schedule". The local parameters are the caller's to save. The structure is the engine's and valid until its
 * next step, flush or end; `revision` counts the rounds taken over. pcclPendingAsyncOps: rounds are in flight; flush
 * first. Of an engine that has failed it is what is left (see Failures), whatever is in flight, and it does not wait.
 */
PCCL_EXPORT pcclResult_t pcclDilocoState(pcclDiloco_t *engine, pcclSharedState_t **state_out);

/* Goes on from what was written into the tensors of pcclDilocoState(). `is_newcomer`: local parameters become the outer
 * ones, and what is a peer's own (residuals, deviations, weights) begins anew; else all of that is as it was saved, and
 * local parameters are left as they are. pcclInvalidArgument: the schedule is one of other tensors or settings: nothing
 * else has changed. pcclPendingAsyncOps: rounds are in flight. What the engine has failed with, if it has. */
PCCL_EXPORT pcclResult_t pcclDilocoResume(pcclDiloco_t *engine, bool is_newcomer);

PCCL_EXPORT pcclResult_t pcclDilocoGetStatistics(pcclDiloco_t *engine, pcclDilocoStatistics_t *statistics_out);

typedef struct pcclDilocoParticipant_t {
	pcclRankUuid_t uuid;
	double weight; /* 0: it took part with nothing */
} pcclDilocoParticipant_t;

/* Who took part in the round that ended last, in rank order, and with which weight; the same on all peers. Writes as
 * many as there is room for; *count_out is how many there are, 0 before the first round. */
PCCL_EXPORT pcclResult_t pcclDilocoGetParticipants(pcclDiloco_t *engine,
						   pcclDilocoParticipant_t *participants_out PCCL_NULLABLE,
						   size_t capacity, size_t *count_out);

/* Ends the engine; call pcclDilocoFlush() before, on all peers: then it does not wait. Rounds that have begun are not
 * taken over, but exchanged to their end, for other peers may wait in them. If that takes longer than the
 * communicator's heartbeat_timeout_ms (another peer does not step), the group gives them up: pcclTimeout for all who
 * wait in them or come to them. That takes a round trip to the master, or, if none can be reached, connect_timeout_ms
 * and heartbeat_timeout_ms, and then the communicator has ended. An engine that has failed, and a communicator that has
 * ended (pcclCommAbort()), wait for nothing but that. Local parameters stay as they are. */
PCCL_EXPORT pcclResult_t pcclDilocoDestroy(pcclDiloco_t *engine);

#ifdef __cplusplus
}
#endif

#endif
