# What has to be installed, on Debian and its kin; elsewhere the lists say what to look for.

# to build, to run the tests
DEPS := gcc make pkg-config libcmocka-dev libssl-dev libhwloc-dev libjansson-dev libxxhash-dev libzstd-dev libibverbs-dev librdmacm-dev
# to check more: memory errors, network namespaces
DEPS_CHECK := valgrind iproute2
# to test the Python package
DEPS_PYTHON := python3 python3-venv openssl
# to draw mutants
DEPS_MUTATE := python3
# to search the model of the membership protocol
DEPS_MODEL := spin
# to check the pure floors on another processor
DEPS_AARCH64 := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
# to check its AVX-512 kernels where no processor has it
DEPS_AVX512 := bochs bochsbios vgabios grub-common grub-pc-bin xorriso mtools cpio
# to test RDMA in an emulated machine, whose kernel is fetched when it is needed
DEPS_VM := qemu-system-x86 xz-utils iproute2 ibverbs-providers
# to lint and to format
DEPS_LINT := clang-format-14 clang-tidy-14
# to fuzz, to compare with others
DEPS_ALL := $(DEPS_CHECK) $(DEPS_LINT) clang-14 libclang-rt-14-dev libgloo-dev libopenmpi-dev openmpi-bin g++

deps: ## install what building and testing need (apt-get; nothing to do: at once)
	@scripts/install-packages.sh $(DEPS)

deps-check: deps ## and what check-valgrind and tests in network namespaces need
	@scripts/install-packages.sh $(DEPS_CHECK)

deps-vm: deps
	@scripts/install-packages.sh $(DEPS_VM)

deps-mutate: deps
	@scripts/install-packages.sh $(DEPS_MUTATE)

deps-lint: deps ## and what check-tidy and check-format need
	@scripts/install-packages.sh $(DEPS_LINT)

deps-model: deps
	@scripts/install-packages.sh $(DEPS_MODEL)

deps-all: deps ## and what lint, fuzz-NAME and the comparison in bench/compare need
	@scripts/install-packages.sh $(DEPS_ALL)

.PHONY: deps deps-check deps-vm deps-mutate deps-lint deps-model deps-all
