# Tests. Everything runs through tests/run.sh, which closes with "N passed, N failed".

NPROC := $(shell nproc)
# A make of our own gets a -j unless the user gave one.
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(NPROC))
# What makes networks of its own.
NETWORK_ITEMS := "integration/reach::tests/integration/reach.sh" "integration/cards::tests/integration/cards.sh"
# A hundred peers at once, what measures, and what packs, for minutes under a sanitizer: they have the machine alone.
ALONE := $(filter %/test_churn %/test_bench %/test_zstd,$(INTEGRATION))
PAIRS = $(filter-out $(ALONE),$(INTEGRATION))
# The longest of all: begun first, it leaves no core idle at the end.
SIM_ITEM := $(if $(SIM),simulator::$(SIM))
SECONDS ?= 60
SEED ?= 1
SEEDS ?= 100000
FROM ?= 1

SAN_ENV := ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1 \
	UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=second_deadlock_stack=1
# Where integration tests find the programs.
TEST_ENV := PCCL_BUILD=$(B) $(if $(filter release,$(FLAVOUR)),,$(SAN_ENV))

test: ## install what is missing, build, run every test: unit, fuzz corpora, simulator, integration, layers, interface
	@$(MAKE) --no-print-directory deps
	@$(SUBMAKE) all test-programs
	@$(TEST_ENV) tests/run.sh "$(SIM_ITEM)" "run-itself::tests/run-itself.sh" $(UNIT) $(FUZZ_REPLAY) \
		"check-style::scripts/check-style.sh $(C_FILES) $(DOCS)" \
		"check-layers::scripts/check-layers.sh . $(B)/obj" "check-layers-itself::scripts/check-layers-test.sh" \
		"check-abi::scripts/check-abi.sh $(LIB_SO) $(LIB_A)" "check-mutants::tests/sim/mutants/run.sh -n" \
		"check-without-verbs::make -s --no-print-directory check-without-verbs" \
		"readme::tests/readme.sh" -- $(PAIRS) $(NETWORK_ITEMS) -- $(ALONE)

test-programs: all $(UNIT) $(FUZZ_REPLAY) $(SIM) $(INTEGRATION) ## build the tests without running them

unit: $(UNIT) ## the unit tests only
	@$(TEST_ENV) tests/run.sh $(UNIT)

integration: all $(INTEGRATION) ## the integration tests only
	@$(TEST_ENV) tests/run.sh -- $(PAIRS) $(NETWORK_ITEMS) -- $(ALONE)

run-tests: test-programs
	@$(TEST_ENV) tests/run.sh "$(SIM_ITEM)" $(UNIT) $(FUZZ_REPLAY) -- $(PAIRS) -- $(ALONE)

check-asan: ## unit, corpora, simulator and integration with the address and undefined behaviour sanitizers
	@PCCL_TEST_TIMEOUT=600 $(SUBMAKE) FLAVOUR=asan run-tests

# What has no threads has nothing to show to the thread sanitizer.
THREADED_UNIT := $(filter $(B)/test/unit/transport/%,$(UNIT))

# Over TCP: the other runs of the same tests share memory.
check-tsan: ## the tests that have threads, with the thread sanitizer
	@PCCL_TEST_TIMEOUT=600 PCCL_TRANSPORT=tcp $(SUBMAKE) FLAVOUR=tsan run-threaded

run-threaded: all $(THREADED_UNIT) $(INTEGRATION)
	@$(TEST_ENV) tests/run.sh $(THREADED_UNIT) -- $(PAIRS) -- $(ALONE)

# Valgrind knows no AVX-512. The executor's worlds and the codecs' sweeps would take it hours, and what has deadlines misses
# them under it: those run under asan.
# So do nine whose worlds are so large that they took most of its time. hwloc copies memory onto itself in two.
VALGRIND_UNIT := $(filter-out $(B)/test/unit/collectives/% $(B)/test/unit/bench/% $(B)/test/unit/transport/% \
	%/test_chunks %/test_transfer %/test_forget %/test_checkpoint %/test_shortage %/test_drift %/test_cores \
	%/test_bind %/test_door %/test_verdict %/test_interrupted,$(UNIT)) \
	$(filter %/test_geometry %/test_dtype %/test_exec_op %/test_exec_protocol,$(UNIT))

check-valgrind: $(VALGRIND_UNIT) ## unit tests under valgrind; leaks are errors
	@PCCL_CPU=avx2 PCCL_TEST_TIMEOUT=600 tests/run.sh -w "valgrind -q --error-exitcode=99 --leak-check=full \
		--errors-for-leak-kinds=definite,indirect --child-silent-after-fork=yes" $(VALGRIND_UNIT)

sim: $(SIM) ## replay one seed of the simulator: make sim SEED=n
	$(SIM) --seed $(SEED)

# The last ones are lossy worlds, such with forgers, and hosts with several network cards.
check-sim: $(SIM) ## 12,000 seeds of both levels of the simulator, and lossy worlds: the slice that every change must pass
	@tests/sim/soak.sh $(SIM) 12000
	@$(SIM) --level 2 --from 4294967296 --seeds 200
	@$(SIM) --level 1 --from 12884901888 --seeds 500
	@$(SIM) --level 2 --from 17179869184 --seeds 500

soak: $(SIM) ## many seeds of the simulator, on all cores: make soak SEEDS=n FROM=s
	@tests/sim/soak.sh $(SIM) $(SEEDS) $(FROM)

check-mutants: ## the known breaks of the machines, a third of them at random: does the simulator catch each?
	@tests/sim/mutants/run.sh -t

mutate: deps-mutate ## draw changes of the source at random, say which no test notices: make mutate COUNT=20 SEED=n
	@tests/mutate/mutate.py --count $(or $(COUNT),20) $(if $(filter command line,$(origin SEED)),--seed $(SEED))

# New finds go to build/; the corpus in the tree keeps to what is worth keeping.
fuzz-%: ## fuzz one target: make fuzz-NAME SECONDS=60 (clang's libFuzzer)
	@$(SUBMAKE) FLAVOUR=fuzz CC=$(CLANG) build/fuzz/bin/fuzz_$*
	@mkdir -p build/fuzz/corpus/$*
	build/fuzz/bin/fuzz_$* -max_total_time=$(SECONDS) -artifact_prefix=build/fuzz/ build/fuzz/corpus/$* tests/fuzz/corpus/$*

build/fuzz/bin/fuzz_stack: $(SIM_PARTS)

build/fuzz/bin/fuzz_%: build/fuzz/obj/tests/fuzz/fuzz_%.o $(INTERNAL_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS)

.PHONY: test test-programs unit integration run-tests run-threaded check-asan check-tsan check-valgrind sim check-sim soak \
	check-mutants mutate
