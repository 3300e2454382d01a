# The pure floors on other processors: the same program, compiled for each, must print the same hashes.

PURE_SRC := $(filter-out src/collectives/codec/codec_lossless.c src/collectives/exec/exec_verify.c src/base/identity.c,\
	$(filter src/base/% src/collectives/%,$(LIB_SRC)))
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

$(VECTORS)-static: $(call obj,tests/vectors/vectors.c) $(PURE_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -static -o $@ $^ -lm

test-programs: $(VECTORS)

check-aarch64: $(VECTORS) ## do codecs, reductions and checksums give the same bits on aarch64 (qemu-user) as here?
	@scripts/install-packages.sh $(DEPS_AARCH64)
	@$(SUBMAKE) FLAVOUR=aarch64 CC=$(CROSS_CC) build/aarch64/test/vectors/vectors
	@tests/vectors/compare.sh $(VECTORS) aarch64 "qemu-aarch64 build/aarch64/test/vectors/vectors" \
		-o build/aarch64/obj/src/collectives

# Bochs 2.7 rounds ties between denormals of float16 up, which no processor does: those lines are left out.
check-avx512: $(VECTORS) $(VECTORS)-static ## the same of AVX-512 without such a processor (Bochs, root; ten minutes)
	@scripts/install-packages.sh $(DEPS_AVX512)
	@tests/vectors/compare.sh $(VECTORS) Bochs "tests/vectors/bochs.sh $(VECTORS)-static" -x "float16|fp16|conversions"

-include $(B)/obj/tests/vectors/vectors.d
.PHONY: check-aarch64 check-avx512
