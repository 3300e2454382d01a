#!/bin/sh
# What codecs and the lossless stage gain on a slow link: peers in network namespaces of their own, each behind a cable
# limited both ways, and an all-reduce of float32 as it is, compressed, as int8 and as int4. Needs root, ip and tc
# (Debian: iproute2).
#
#	bench/link.sh [--peers 4] [--rate 1gbit] [--size 64M] [--iters 5] [--dtype float32]
#		[--codecs none,none+auto,int8,int4]	NAME+ZSTD: with the lossless stage auto or on
#
# Everything happens in namespaces (network, mounts, processes) that end with the script: the host sees nothing of it.
set -eu
export PCCL_SECURITY=${PCCL_SECURITY:-none} # nothing leaves this machine

peers=4 rate=1gbit size=64M iters=5 dtype=float32 codecs=none,none+auto,int8,int4

usage() {
	echo "usage: $0 [--peers N] [--rate RATE] [--size BYTES] [--iters N] [--dtype NAME] [--codecs NAME,...]"
	echo "  defaults: $peers peers, $rate (as tc writes it), $size, $iters timed iterations, $dtype, $codecs"
}

say() {
	echo "link.sh: $*" >&2
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
	--peers) peers=$2 ;;
	--rate) rate=$2 ;;
	--size) size=$2 ;;
	--iters) iters=$2 ;;
	--dtype) dtype=$2 ;;
	--codecs) codecs=$2 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift 2
done

cd "$(dirname "$0")/.."
namespaces_begin link

# A cable from the bridge to a namespace. What leaves either end is limited.
plug() {
	ip netns add "peer$1"
	ip link add "cable$1" type veth peer name eth0 netns "peer$1"
	ip link set "cable$1" master bridge up
	ip -n "peer$1" addr add "10.77.0.$((10 + $1))/24" dev eth0
	ip -n "peer$1" link set eth0 up
	ip -n "peer$1" link set lo up
	tc qdisc add dev "cable$1" root tbf rate "$rate" burst 256kb latency 20ms
	tc -n "peer$1" qdisc add dev eth0 root tbf rate "$rate" burst 256kb latency 20ms
}

# Measures one codec and leaves the JSON of rank 0 in $work/NAME.json.
measure() {
	pids=
	case $1 in
	*+*) zstd=${1#*+} ;;
	*) zstd=off ;;
	esac
	for i in $(seq "$peers"); do
		ip netns exec "peer$i" "$bin/allreduce-bench" --master "10.77.0.11:48148" --peers "$peers" \
			--sizes "$size" --iters "$iters" --warmup 1 --dtype "$dtype" --codec "${1%+*}" --zstd "$zstd" \
			--check --json >"$work/$1.$i" &
		pids="$pids $!"
	done
	failed=0
	for pid in $pids; do
		wait "$pid" || failed=1
	done
	cat "$work/$1".[0-9]* >"$work/$1.json"
	[ $failed = 0 ] || { say "$1: a peer failed"; exit 1; }
}

# field NAME FILE: a number or word of a JSON line.
field() {
	sed -n "s/.*\"$1\": \"\{0,1\}\([^\",}]*\).*/\1/p" "$2"
}

ip link set lo up
ip link add bridge type bridge
ip link set bridge up
for i in $(seq "$peers"); do
	plug "$i"
done
ip netns exec peer1 "$bin/pccl-master" --listen 0.0.0.0:48148 --log-level ERR >"$work/master.log" &
sleep 1

echo "$peers peers, each with $rate both ways, all-reduce of $size $dtype, median of $iters; cpu of all peers, per operation"
printf '%10s %10s %10s %10s %14s %10s %8s\n' codec "time ms" "least ms" "cpu ms" "wire bytes" "error dB" faster
plain=0
for codec in $(echo "$codecs" | tr , ' '); do
	measure "$codec"
	file=$work/$codec.json
	[ "$codec" != none ] || plain=$(field time_us "$file")
	awk -v codec="$codec" -v plain="$plain" -v us="$(field time_us "$file")" -v least="$(field time_us_min "$file")" \
		-v wire="$(field wire_bytes_per_peer "$file")" -v db="$(field rel_l2_error_db "$file")" \
		-v cpu="$(field cpu_s_per_GiB "$file")" -v bytes="$(field bytes "$file")" 'BEGIN {
		printf "%10s %10.1f %10.1f %10.1f %14.0f %10.1f %8s\n", codec, us / 1000, least / 1000,
			cpu * bytes / 1024 ^ 3 * 1000, wire, db, (plain > 0 ? sprintf("%.2fx", plain / us) : "-")
	}'
done
