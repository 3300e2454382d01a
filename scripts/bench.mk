# Benchmarks: `make bench` builds allreduce-bench and the alternatives that this machine has the libraries for, and
# measures them alternately; `make demo` shows the library at work.
COMPARE := $(B)/compare
COMPARE_COMMON := bench/compare/common.c bench/compare/common.h
COMPARE_CFLAGS := -std=gnu99 -O3 -march=native -g -Wall -Wextra -pthread
HAVE_GLOO := $(wildcard /usr/include/gloo/allreduce.h)
HAVE_MPI := $(shell command -v mpicc 2>/dev/null)
COMPARE_PROGS := $(COMPARE)/libcompare.so $(COMPARE)/raw-sockets $(if $(HAVE_GLOO),$(COMPARE)/compare-gloo) \
	$(if $(HAVE_MPI),$(COMPARE)/compare-mpi)

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

compare: $(COMPARE_PROGS) ## build the comparison programs (what this machine has the libraries for)

bench: $(B)/bin/allreduce-bench $(COMPARE_PROGS) ## measure against the alternatives (minutes)
	bench/run.sh

demo: all ## four peers join, reduce, lose one, win one; under 20 s
	bench/demo.sh

.PHONY: compare bench demo
