/* What calls that make states one and looks for drift share: see caller_state.c. */
#ifndef PCCL_SIM_CALLER_STATE_H
#define PCCL_SIM_CALLER_STATE_H

#include "shell.h"
#include "sync/state/drift.h"

#define TENSORS 12
#define LARGEST 3000

struct state_model {
	uint64_t key; /* what the program believes to have */
	uint64_t revision;
	bool there; /* a call has succeeded */
	bool torn;  /* one has failed half-way: it has what is in `bytes` */
	uint8_t bytes[TENSORS][LARGEST];
	/* of the communicator */
	pcclRankUuid_t run;
	struct pccl_state_lineage lineage;
};

struct orders {
	struct pccl_state_order order;
	struct pccl_command commands[SHELL_LANES];
	struct orders *next;
};

struct state_call {
	struct pccl_agreement *agreement; /* NULL: it looks for drift */
	struct pccl_drift *drift;
	uint32_t sequence; /* of the last gathering */
	struct pccl_inventory *inventory;
	pcclSharedState_t state;
	pcclTensorInfo_t infos[TENSORS];
	char names[TENSORS][12];
	uint8_t *memory[TENSORS];
	struct orders *orders;
	struct pccl_op *op; /* the gathering that runs */
	bool posted;	    /* lanes have been told to do what is to be done */
	uint32_t awaited;   /* lanes that have not answered */
	enum pccl_transfer_event event;
	struct pccl_transfer_outcome outcomes[SHELL_LANES];
};

void *state_must(void *memory);
/* The same for all who make the same call. */
uint64_t state_draw(const struct shell *shell, uint64_t what);
/* Which key is it all of? False: of none. */
bool state_find_key(const struct shell *shell, uint64_t *key_out);
/* What members have at their next call. */
void state_train(const struct shell *shell);
/* The tensors are the call's, and the caller's again. */
void state_lend(struct shell *shell);
void state_bury(struct shell *shell);
void state_free(struct state_call *call);
/* False: it runs. Else the machine has been told. */
bool state_gather(struct shell *shell, const void *input, void *output, size_t bytes);

/* caller_drift.c */
bool caller_drift_wanted(const struct shell *shell);
void caller_drift_begin(struct shell *shell);
void caller_drift_step(struct shell *shell);

#endif
