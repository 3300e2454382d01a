#!/bin/sh
# What several network cards gain together: peers in network namespaces of their own, each with a cable for every rate,
# limited both ways, and an all-reduce of float32 over the first card alone and over all of them, in turn. Needs root, ip
# and tc (Debian: iproute2).
#
#	bench/cards.sh [--rates 500,100] [--peers 2] [--sizes 1M,8M,64M] [--rounds 3] [--iters 5] [--lanes 1]
#
# Everything happens in namespaces (network, mounts, processes) that end with the script: the host sees nothing of it.
set -eu
export PCCL_SECURITY=${PCCL_SECURITY:-none} # nothing leaves this machine

rates=500,500 peers=2 sizes=256K,1M,8M,64M rounds=3 iters=5 lanes=1

usage() {
	echo "usage: $0 [--rates MBIT,...] [--peers N] [--sizes BYTES,...] [--rounds N] [--iters N] [--lanes N]"
	echo "  defaults: $rates (Mbit/s), $peers peers, $sizes, $rounds rounds of $iters timed iterations, $lanes lane"
}

say() {
	echo "cards.sh: $*" >&2
}

# shellcheck source=../scripts/namespaces.sh
. "$(dirname "$0")/../scripts/namespaces.sh"
if ! namespaces_are_here; then
	[ "${1:-}" != --help ] || { usage; exit 0; }
	why=$(namespaces_missing ip tc)
	[ -z "$why" ] || { say "$why"; exit 1; }
	namespaces_enter "$0" "$@"
fi

while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || { usage >&2; exit 2; }
	case $1 in
	--rates) rates=$2 ;;
	--peers) peers=$2 ;;
	--sizes) sizes=$2 ;;
	--rounds) rounds=$2 ;;
	--iters) iters=$2 ;;
	--lanes) lanes=$2 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift 2
done

cd "$(dirname "$0")/.."
namespaces_begin cards

# plug PEER NETWORK RATE: a cable from the network's bridge. What leaves either end is limited; 4 ms of it may go at once,
# for the kernel's clock is no finer.
plug() {
	ip link add "cable$2-$1" type veth peer name "card$2" netns "peer$1"
	ip link set "cable$2-$1" master "bridge$2" up
	ip -n "peer$1" addr add "10.$2.0.$((10 + $1))/24" dev "card$2"
	ip -n "peer$1" link set "card$2" up
	tc qdisc add dev "cable$2-$1" root tbf rate "$3mbit" burst $(($3 * 512)) latency 20ms
	tc -n "peer$1" qdisc add dev "card$2" root tbf rate "$3mbit" burst $(($3 * 512)) latency 20ms
}

# measure NAMES SIZE FILE: adds the median time of one run, in us, to the file.
measure() {
	pids=
	for i in $(seq "$peers"); do
		PCCL_INTERFACES=$1 ip netns exec "peer$i" "$bin/allreduce-bench" --master "10.71.0.11:48148" --peers "$peers" \
			--sizes "$2" --iters "$iters" --warmup 2 --lanes "$lanes" --check --json >"$work/out.$i" &
		pids="$pids $!"
	done
	failed=0
	for pid in $pids; do
		wait "$pid" || failed=1
	done
	[ $failed = 0 ] || { say "a peer failed"; cat "$work"/out.* >&2; exit 1; }
	cat "$work"/out.* | sed -n 's/.*"time_us": \([0-9.]*\).*/\1/p' >>"$3"
}

median() {
	sort -n "$1" | awk '{at[NR] = $1} END {print at[int((NR + 1) / 2)]}'
}

ip link set lo up
for i in $(seq "$peers"); do
	ip netns add "peer$i"
	ip -n "peer$i" link set lo up
done
network=71 all=
for rate in $(echo "$rates" | tr , ' '); do
	ip link add "bridge$network" type bridge
	ip link set "bridge$network" up
	for i in $(seq "$peers"); do
		plug "$i" $network "$rate"
	done
	all=$all${all:+,}card$network
	network=$((network + 1))
done
ip netns exec peer1 "$bin/pccl-master" --listen 0.0.0.0:48148 --log-level ERR >"$work/master.log" &
sleep 1

echo "$peers peers, cards of $rates Mbit/s both ways, all-reduce of float32, medians of $rounds rounds of $iters; $lanes lane(s)"
printf '%10s %14s %14s %8s\n' bytes "first alone ms" "all ms" gain
for size in $(echo "$sizes" | tr , ' '); do
	for round in $(seq "$rounds"); do
		measure card71 "$size" "$work/alone.$size"
		measure "$all" "$size" "$work/all.$size"
	done
	awk -v size="$size" -v alone="$(median "$work/alone.$size")" -v all="$(median "$work/all.$size")" 'BEGIN {
		printf "%10s %14.1f %14.1f %8s\n", size, alone / 1000, all / 1000, sprintf("%.2fx", alone / all)
	}'
done
