# The model of the membership protocol, searched to the end by Spin: the honest one has no fault, each mutant has one.
# pan tells of a fault by "errors: 1" only; a search that was cut short says so.

MODEL := tests/model/membership.pml
MODEL_SIZE := -DVIEWS=3 -DFAULTS=1 -DMOVES=2
MODEL_MUTANTS := MINORITY EPOCH
# One view change more, and nothing that goes wrong but connections: seconds, and it shows what the other does not.
MODEL_CALM := -DVIEWS=4 -DFAULTS=0 -DMOVES=2
MODEL_CALM_MUTANTS := UNTOLD DEAD HALF UNANSWERED FORGETFUL

check-model: deps-model ## search the model of the membership protocol (tests/model): minutes, 1 GB of memory
	@tests/model/run.sh 0 three $(MODEL_SIZE)
	@tests/model/run.sh 0 newcomer -DFIRST=3 $(MODEL_SIZE)
	@for mutant in $(MODEL_MUTANTS); do tests/model/run.sh 1 $$mutant -DMUTANT_$$mutant $(MODEL_SIZE) || exit 1; done
	@tests/model/run.sh 0 calm $(MODEL_CALM)
	@for mutant in $(MODEL_CALM_MUTANTS); do tests/model/run.sh 1 $$mutant -DMUTANT_$$mutant $(MODEL_CALM) || exit 1; done

.PHONY: check-model
