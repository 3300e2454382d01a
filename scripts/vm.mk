# RDMA on real kernel verbs, in a machine of its own: tests/vm/run.sh. On a machine with a device that has the address
# 127.0.0.1, PCCL_TEST_RDMA=device tests/vm/rdma.sh does the same natively. SHORT=1: less of each, in a minute.
VM_CACHE ?= build/vm

test-vm: ## RDMA over a soft-RoCE device, in an emulated machine (PCCL_TEST_RDMA=device: over a device of this one)
	@$(MAKE) --no-print-directory deps-vm
	@$(SUBMAKE) $(B)/bin/allreduce-bench $(B)/bin/pccl-master $(B)/bin/pccl-info $(B)/test/unit/transport/rdma/test_rdma
	@export PCCL_TEST_SHORT=$(SHORT); if [ "$(PCCL_TEST_RDMA)" = device ]; then PCCL_BUILD=$(B) tests/vm/rdma.sh; \
	else tests/vm/run.sh $(VM_CACHE) tests/vm/rdma.sh || [ $$? -eq 77 ]; fi

.PHONY: test-vm
