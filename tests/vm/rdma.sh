#!/bin/bash
# What is tested where there is an RDMA device at 127.0.0.1: the transport's suite, collectives that are checked, losses
# and repair, two devices at once, peers with RDMA beside peers without, and beside a join secret. With PCCL_TEST_SHORT
# less of each. In a machine that is emulated, on a host that is busy, all of it is a hundred times slower than it would
# be elsewhere, so it is little, and waits long.
set -u

build=${PCCL_BUILD:-build/release}
bench=$build/bin/allreduce-bench
export PCCL_HEARTBEAT_TIMEOUT_MS=30000 PCCL_CONNECT_TIMEOUT_MS=90000
failed=0

# Packets that the devices, or one of them, have sent.
packets() {
	cat /sys/class/infiniband/${1:-*}/ports/1/hw_counters/sent_pkts 2>/dev/null | awk '{sum += $1} END {print sum + 0}'
}

# check NAME COMMAND...: it ends with status 0, and much of what it sends goes over the device.
check() {
	local name=$1 before status sent begin=$SECONDS

	shift
	before=$(packets)
	"$@" 2>&1
	status=$?
	sent=$(($(packets) - before))
	echo "---- $name: status $status, $sent packets, $((SECONDS - begin)) s"
	[ $status -eq 0 ] && [ $sent -ge 200 ] || failed=$((failed + 1))
}

# no_packets COMMAND...: it ends with status 0, and nothing goes over the device.
no_packets() {
	local before status sent

	before=$(packets)
	"$@" 2>&1
	status=$?
	sent=$(($(packets) - before))
	echo "---- a join secret, and no trust: status $status, $sent packets"
	[ $status -eq 0 ] && [ $sent -eq 0 ] || failed=$((failed + 1))
}

# Two peers have chosen RDMA, and the third has not: it declines what they offer, and they go on over TCP with it.
mixed() {
	local port=29300 master pids= pid status=0 wire

	"$build/bin/pccl-master" --listen 127.0.0.1:$port >/dev/null 2>&1 &
	master=$!
	for wire in rdma rdma auto; do
		"$bench" --master 127.0.0.1:$port --peers 3 --transport $wire --check --sizes 256K --iters 2 --warmup 1 &
		pids="$pids $!"
	done
	for pid in $pids; do
		wait "$pid" || status=1
	done
	kill $master
	return $status
}

# Each lane has one of them. Only run.sh's machine has the second.
two_devices() {
	local first second

	first=$(packets rxe_lo)
	second=$(packets rxe_dummy)
	PCCL_RDMA_DEVICE=rxe_lo,rxe_dummy "$bench" --local 2 --lanes 2 --transport rdma --check --sizes 512K --iters 2 \
		--warmup 0 || return 1
	first=$(($(packets rxe_lo) - first))
	second=$(($(packets rxe_dummy) - second))
	echo "$first packets over one device, $second over the other"
	[ $first -ge 200 ] && [ $second -ge 200 ]
}

# It makes what a connection would.
described() {
	"$build/bin/pccl-info" 127.0.0.1 | grep '127\.0\.0\.1: over .* port' && return
	echo "---- pccl-info: 127.0.0.1 is over no device"
	failed=$((failed + 1))
}

described
check "transport suite" "$build/test/unit/transport/rdma/test_rdma"
collectives=broadcast
[ -n "${PCCL_TEST_SHORT:-}" ] || collectives="$collectives allreduce reducescatter allgather"
for collective in $collectives; do
	check "$collective of two" "$bench" --local 2 --transport rdma --check --collective $collective \
		--sizes 4K,512K --iters 1 --warmup 0
done
check "losses" "$bench" --local 3 --transport rdma --check --loss --policy repair --sizes 512K \
	--iters $([ -n "${PCCL_TEST_SHORT:-}" ] && echo 1 || echo 2)
# Beside TLS, in a network that is trusted; else nothing goes over the device. Members that have other addresses as well
# could meet there.
secret="env PCCL_ADVERTISED_ADDRESS=127.0.0.1 PCCL_RDMA_TRUSTED"
over="$bench --local 2 --security psk --transport rdma --check --sizes 512K --iters 1 --warmup 0"
check "a join secret, and trust" $secret=127.0.0.0/8 $over
[ -n "${PCCL_TEST_SHORT:-}" ] || no_packets $secret=10.0.0.0/8 $over
[ ! -e /sys/class/infiniband/rxe_dummy ] || check "two devices" two_devices
[ -n "${PCCL_TEST_SHORT:-}" ] || check "peers with and without" mixed
echo "$failed failed"
[ $failed -eq 0 ]
