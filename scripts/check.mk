# Checks of the source and of what was built.

C_FILES = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h')
# The changelog has a line for each thing.
DOCS = $(filter-out CHANGELOG.md,$(shell git ls-files --cached --others --exclude-standard '*.md'))
# Not the tests: the analyzer does not know that cmocka's assertions end them.
TIDY_SRC := $(LIB_SRC) $(PROG_SRC) $(BENCH_SRC) $(TRAIN_SRC)

check-layers: $(call obj,$(LIB_SRC)) ## who may include whom, and what the pure floors may call
	@scripts/check-layers.sh . $(B)/obj
	@scripts/check-layers-test.sh

check-abi: $(LIB_SO) $(LIB_A) $(B)/test/unit/api/test_abi ## header, export map and library name the same; layouts are as they were
	@scripts/check-abi.sh $(LIB_SO) $(LIB_A)
	@$(B)/test/unit/api/test_abi

# As where libibverbs is not installed: its header can't be compiled, nobody includes it, and nothing is missing without
# what does.
WITHOUT_VERBS := build/without-verbs
WITHOUT_VERBS_SRC := $(filter-out $(VERBS_SRC) %/test_rdma.c %/test_rdma_fork.c, \
	$(wildcard src/transport/rdma/*.c src/transport/wires/*.c tests/unit/transport/rdma/*.c tests/fuzz/fuzz_rdma.c))

check-without-verbs: $(call obj,$(sort $(filter-out $(VERBS_SRC),$(LIB_SRC)) $(NO_VERBS_SRC))) ## the library can be built without libibverbs
	@mkdir -p $(WITHOUT_VERBS)/infiniband
	@echo '#error "included without need"' >$(WITHOUT_VERBS)/infiniband/verbs.h
	@$(CC) -I$(WITHOUT_VERBS) $(CPPFLAGS) $(TEST_CPPFLAGS) $(CFLAGS) -Werror -fsyntax-only $(WITHOUT_VERBS_SRC)
	@$(CC) -shared -Wl,-z,defs $(LDFLAGS) -o $(WITHOUT_VERBS)/libpccl.so $^ $(LDLIBS)

lint: check-warnings check-tidy check-style ## every warning is an error, clang-tidy finds nothing, sizes are kept

# A flavour of its own, for objects that are there would not be compiled again.
check-warnings: ## compile everything with -Werror
	@$(SUBMAKE) FLAVOUR=werror WERROR=1 test-programs

# The analyzer tries 20,000 states of each function: its 225,000 take five times as long.
TIDY_ARGS := $(addprefix --extra-arg=,-Xclang -analyzer-config -Xclang max-nodes=20000)

check-tidy: ## clang-tidy, with the checks in .clang-tidy
	@mkdir -p build
	@printf '%s\n' $(TIDY_SRC) | xargs -P $(NPROC) -I {} $(CLANG_TIDY) --quiet $(TIDY_ARGS) --warnings-as-errors='*' {} -- \
		$(CPPFLAGS) $(TEST_CPPFLAGS) -std=c99 2>build/tidy.log || { grep -v 'warnings generated' build/tidy.log; exit 1; }

check-style: ## lines, functions and files are as long as the house style allows
	@scripts/check-style.sh $(C_FILES) $(DOCS)

format: ## clang-format everything
	@$(CLANG_FORMAT) -i $(C_FILES)

check-format: ## say what clang-format would change
	@$(CLANG_FORMAT) --dry-run --Werror $(C_FILES)

.PHONY: check-layers check-abi check-without-verbs lint check-warnings check-tidy check-style format check-format
