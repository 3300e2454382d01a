# pccl: `make help` lists the targets. GNU make; one file; flavours never share objects.
FLAVOUR ?= release
comma := ,
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR ?= $(PREFIX)/bin
CC ?= gcc
OBJCOPY ?= $(shell $(CC) -print-prog-name=objcopy)
CLANG ?= clang-14
CLANG_FORMAT ?= clang-format-14
CLANG_TIDY ?= clang-tidy-14

VERSION := $(shell awk '/define PCCL_VERSION_(MAJOR|MINOR|PATCH)/ {printf "%s%s", sep, $$3; sep = "."}' include/pccl/pccl.h)
SOVERSION := 2
ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))

B := build/$(FLAVOUR)
WARN := -Wall -Wextra -Wpedantic -pedantic-errors -Wshadow -Wundef -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 $(if $(WERROR),-Werror)
OPT_release := -O2 -g
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan := -O1 -g -fsanitize=thread
OPT_werror := -O2
OPT_fuzz := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
OPT := $(OPT_$(FLAVOUR))
CPPFLAGS += -Iinclude -Iinclude/pccl -Isrc -D_GNU_SOURCE
TEST_CPPFLAGS := -Itests -I.
CFLAGS += -std=c99 $(OPT) $(WARN) -fPIC -fvisibility=hidden -ffp-contract=off -pthread
LDFLAGS += $(filter -fsanitize=%,$(OPT)) -pthread
LDLIBS += -lssl -lcrypto -ldl -lhwloc -ljansson -lxxhash -lzstd -lm
TEST_LDLIBS := -lcmocka
# tests/lib/allocations.c stands between the tests and the allocator, tests/lib/files.c between them and the file system
TEST_LDFLAGS := $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc posix_memalign pwrite fsync rename ftruncate open)
NODEFS := $(if $(filter release,$(FLAVOUR)),-Wl$(comma)-z$(comma)defs)

# Files named *_avx2.c and *_avx512.c hold the same code as their scalar twin, compiled for a richer processor.
KERNEL_FLAGS := -O3 -ftree-vectorize -fno-math-errno -fno-trapping-math
ifeq ($(ARCH),x86_64)
AVX2_FLAGS := -mavx2 -mf16c -mbmi2
AVX512_FLAGS := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mf16c -mbmi2 -mprefer-vector-width=512
SSE42_FLAGS := -msse4.2 -mpclmul
VPCLMUL256_FLAGS := -O3 -mavx2 -mvpclmulqdq -mpclmul -msse4.2
VPCLMUL512_FLAGS := -mavx512f -mavx512vl -mavx512bw -mavx512dq -mvpclmulqdq -mpclmul -msse4.2
endif

# RDMA needs the headers of libibverbs to be built, and the library, which it loads, to be used.
WITH_VERBS ?= $(shell printf '\043include <infiniband/verbs.h>\n' | $(CC) $(CPPFLAGS) -E - >/dev/null 2>&1 && echo 1 || echo 0)
VERBS_SRC := $(addprefix src/transport/rdma/,verbs.c device.c pair.c survey.c)
NO_VERBS_SRC := src/transport/rdma/pair_none.c

PROG_SRC := $(wildcard src/programs/*.c)
LIB_SRC := $(filter-out $(PROG_SRC) $(if $(filter 1,$(WITH_VERBS)),$(NO_VERBS_SRC),$(VERBS_SRC)), \
	$(wildcard src/*/*.c src/*/*/*.c))
BENCH_SRC := $(wildcard bench/*.c)
TRAIN_SRC := $(wildcard bench/diloco/*.c) $(wildcard bench/lab/*.c)
UNIT_SRC := $(sort $(filter-out $(if $(filter 1,$(WITH_VERBS)),,$(wildcard tests/unit/transport/rdma/test_rdma*.c)), \
	$(wildcard tests/unit/*/test_*.c tests/unit/*/*/test_*.c)))
INTEGRATION_SRC := $(sort $(wildcard tests/integration/test_*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
SIM_SRC := $(wildcard tests/sim/*.c)
TESTLIB_SRC := $(wildcard tests/lib/*.c)
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

LIB_A := $(B)/lib/libpccl.a
INTERNAL_A := $(B)/lib/libinternal.a
TESTLIB_A := $(B)/lib/libtests.a
LIB_SO := $(B)/lib/libpccl.so.$(VERSION)
PROGS := $(patsubst src/programs/%.c,$(B)/bin/%,$(PROG_SRC)) $(if $(BENCH_SRC),$(B)/bin/allreduce-bench) $(if $(TRAIN_SRC),$(B)/bin/diloco-train)
UNIT := $(patsubst tests/%.c,$(B)/test/%,$(UNIT_SRC))
INTEGRATION := $(patsubst tests/%.c,$(B)/test/%,$(INTEGRATION_SRC))
FUZZ_REPLAY := $(patsubst tests/%.c,$(B)/test/%,$(FUZZ_SRC))
SIM := $(if $(SIM_SRC),$(B)/test/pccl-sim)

all: $(LIB_A) $(LIB_SO) $(PROGS) ## build the libraries and programs (FLAVOUR=release|asan|tsan)

library: $(LIB_SO) ## build the shared library only

# Tests see the internals, tests/lib and what allreduce-bench computes.
$(B)/obj/tests/%.o: CPPFLAGS += $(TEST_CPPFLAGS)
$(B)/obj/src/collectives/%_avx2.o: CFLAGS += $(KERNEL_FLAGS) $(AVX2_FLAGS)
$(B)/obj/src/collectives/%_avx512.o: CFLAGS += $(KERNEL_FLAGS) $(AVX512_FLAGS)
$(B)/obj/src/collectives/%_scalar.o: CFLAGS += $(KERNEL_FLAGS)
$(B)/obj/src/sync/diloco/outer.o: CFLAGS += $(KERNEL_FLAGS)
$(B)/obj/bench/diloco/model.o: CFLAGS += -O3 -ffast-math
$(B)/obj/src/base/%_sse42.o: CFLAGS += $(SSE42_FLAGS)
$(B)/obj/src/base/%_vpclmul256.o: CFLAGS += $(VPCLMUL256_FLAGS)
$(B)/obj/src/base/%_vpclmul512.o: CFLAGS += $(VPCLMUL512_FLAGS)

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The libraries are made anew when a source has gone, or verbs have.
$(B)/lib/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(LIB_SRC)' | cmp -s - $@ || echo '$(LIB_SRC)' >$@

# For our own programs and tests, which use what users do not see.
$(INTERNAL_A): $(call obj,$(LIB_SRC)) $(B)/lib/sources
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

# What is hidden in the shared library becomes local here: who links it statically may use any name but the interface's.
$(B)/obj/libpccl.o: $(call obj,$(LIB_SRC)) $(B)/lib/sources
	@mkdir -p $(@D)
	$(Q)$(CC) -r -nostdlib -o $@ $(filter %.o,$^)
	@$(OBJCOPY) --localize-hidden $@

$(LIB_A): $(B)/obj/libpccl.o
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# Its threads may run when a program closes it: it stays.
$(LIB_SO): $(call obj,$(LIB_SRC)) $(B)/lib/sources src/libpccl.map
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -Wl,-soname,libpccl.so.$(SOVERSION) -Wl,--version-script=src/libpccl.map -Wl,-z,nodelete $(NODEFS) \
		$(LDFLAGS) -o $@ $(filter %.o,$^) $(LDLIBS)
	@ln -sf $(@F) $(@D)/libpccl.so.$(SOVERSION)
	@ln -sf libpccl.so.$(SOVERSION) $(@D)/libpccl.so

$(B)/bin/allreduce-bench: $(call obj,$(BENCH_SRC)) $(LIB_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/bin/diloco-train: $(call obj,$(TRAIN_SRC) $(filter-out bench/main.c,$(BENCH_SRC))) $(LIB_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/bin/%: $(B)/obj/src/programs/%.o $(INTERNAL_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# An archive, so that each test takes only what it uses.
$(TESTLIB_A): $(call obj,$(TESTLIB_SRC))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# Stand-ins for NVIDIA's driver and for libibverbs, which tests load in their place.
STANDIN := $(B)/test/standin/libcuda.so.1 $(if $(filter 1,$(WITH_VERBS)),$(B)/test/standin/libibverbs.so.1)
STANDIN_SRC := tests/standin/cuda.c $(if $(filter 1,$(WITH_VERBS)),tests/standin/verbs.c)

$(B)/test/standin/libcuda.so.1: $(B)/obj/tests/standin/cuda.o
$(B)/test/standin/libibverbs.so.1: $(B)/obj/tests/standin/verbs.o

$(STANDIN):
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -Wl,-soname,$(@F) $(LDFLAGS) -o $@ $<

$(UNIT) $(INTEGRATION): | $(STANDIN)

$(UNIT) $(INTEGRATION): $(B)/test/%: $(B)/obj/tests/%.o $(TESTLIB_A) $(INTERNAL_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(TEST_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDLIBS) $(TEST_LDLIBS)

$(FUZZ_REPLAY): $(B)/test/%: $(B)/obj/tests/%.o $(B)/obj/tests/fuzz/replay.o $(INTERNAL_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS)

# The simulator takes the place of the heap and the clock: its objects come first.
SIM_PARTS := $(call obj,$(filter-out tests/sim/main.c,$(SIM_SRC)))
$(B)/test/fuzz/fuzz_stack: $(SIM_PARTS)

$(SIM): $(call obj,$(SIM_SRC)) $(INTERNAL_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

include $(wildcard scripts/*.mk)

help: ## list the targets
	@awk -F':.*## ' '/^[a-z%-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile scripts/*.mk

clean: ## remove everything that was built
	rm -rf build

-include $(patsubst %.o,%.d,$(call obj,$(LIB_SRC) $(PROG_SRC) $(BENCH_SRC) $(TRAIN_SRC) $(UNIT_SRC) $(INTEGRATION_SRC) $(FUZZ_SRC) tests/fuzz/replay.c $(SIM_SRC) $(TESTLIB_SRC) $(STANDIN_SRC)))
Q = $(if $(V),,@echo "  $(@:$(B)/%=%)" &&)
.PHONY: all library help clean
.DELETE_ON_ERROR:
.SECONDARY:
