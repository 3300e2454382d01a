# The programs that show and measure. The alternatives are built when this machine has their libraries.

COMPARE := $(B)/compare
COMPARE_COMMON := bench/compare/common.c bench/compare/common.h
COMPARE_CFLAGS := -std=gnu99 -O3 -march=native -g -Wall -Wextra -pthread
COMPARE_PROGS := $(COMPARE)/libcompare.so $(COMPARE)/raw-sockets \
	$(if $(wildcard /usr/include/gloo/allreduce.h),$(COMPARE)/compare-gloo) \
	$(if $(shell command -v mpicc 2>/dev/null),$(COMPARE)/compare-mpi)

# What allreduce-bench computes by itself is tested like the library.
$(filter $(B)/test/unit/bench/%,$(UNIT)): $(call obj,$(addprefix bench/,agree.c check.c codec.c codec_error.c names.c options.c options_manual.c stats.c))

demo: ## install what is missing, build, and watch peers join, all-reduce, leave: start here
	@$(MAKE) --no-print-directory deps
	@$(SUBMAKE) all
	@PCCL_BUILD=$(B) bench/demo.sh

bench: all compare ## measure, beside the alternatives that are installed (minutes)
	@PCCL_BUILD=$(B) bench/run.sh
	@$(MAKE) --no-print-directory codec-speed codec-error

bench-link: all ## what codecs gain between namespaces with a link of 1 Gbit/s each (root; a minute)
	@PCCL_BUILD=$(B) bench/link.sh

bench-cards: all ## what two network cards gain together, equal ones and a slow one beside a fast one (root; minutes)
	@PCCL_BUILD=$(B) bench/cards.sh
	@PCCL_BUILD=$(B) bench/cards.sh --rates 500,100

compare: $(COMPARE_PROGS) ## build the programs that measure the alternatives

$(COMPARE)/libcompare.so: $(COMPARE_COMMON)
	@mkdir -p $(@D)
	$(Q)$(CC) $(COMPARE_CFLAGS) -fPIC -shared -o $@ bench/compare/common.c

$(COMPARE)/raw-sockets: bench/compare/raw_sockets.c $(COMPARE_COMMON)
	@mkdir -p $(@D)
	$(Q)$(CC) $(COMPARE_CFLAGS) -o $@ bench/compare/raw_sockets.c bench/compare/common.c

$(COMPARE)/compare-gloo: bench/compare/compare_gloo.cc $(COMPARE_COMMON)
	@mkdir -p $(@D)
	$(Q)$(CC) $(COMPARE_CFLAGS) -c -o $@.common.o bench/compare/common.c && \
		$(CXX) -std=c++14 -O3 -march=native -g -Wall -Wextra -pthread -o $@ $< $@.common.o -lgloo

$(COMPARE)/compare-mpi: bench/compare/compare_mpi.c $(COMPARE_COMMON)
	@mkdir -p $(@D)
	$(Q)mpicc $(COMPARE_CFLAGS) -o $@ bench/compare/compare_mpi.c bench/compare/common.c

.PHONY: demo bench bench-link compare
