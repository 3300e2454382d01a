# The pure floors on other processors: the same program, compiled for each, must print the same hashes.

PURE_SRC := $(filter-out src/collectives/codec_lossless.c,$(filter src/base/% src/collectives/%,$(LIB_SRC)))
PURE_A := $(B)/lib/libpure.a
VECTORS := $(B)/test/vectors/vectors
# With its CRC instructions; NEON every processor of the architecture has.
OPT_aarch64 := -O2 -g -march=armv8-a+crc
CROSS_CC := aarch64-linux-gnu-gcc

$(PURE_A): $(call obj,$(PURE_SRC))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(VECTORS): $(call obj,tests/vectors/vectors.c) $(PURE_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(if $(filter aarch64,$(ARCH)),-static) -o $@ $^ -lm

test-programs: $(VECTORS)

check-aarch64: $(VECTORS) ## do codecs, reductions and checksums give the same bits on aarch64 (qemu-user) as here?
	@scripts/install-packages.sh $(DEPS_AARCH64)
	@$(SUBMAKE) FLAVOUR=aarch64 CC=$(CROSS_CC) build/aarch64/test/vectors/vectors
	@tests/vectors/compare.sh $(VECTORS) build/aarch64

-include $(B)/obj/tests/vectors/vectors.d
.PHONY: check-aarch64
