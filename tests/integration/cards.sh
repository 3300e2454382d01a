#!/bin/bash
# Peers with several network cards, in network namespaces of their own: all carry payload, one may fail in the middle and
# come back, and what the results are is checked. Needs root, ip and tc (Debian: iproute2); where it has not got them it
# is skipped (status 77) and says why. Everything ends with the script: the host sees nothing of it.
#
#	tests/integration/cards.sh [CASE]...
set -u
export PCCL_SECURITY=none # nothing leaves this machine

cases="both_carry six_carry over_tls by_lanes one_unplugged one_cut_off one_without_address"
rate=200mbit # of a card: so that a busy machine can fill it

say() {
	echo "cards.sh: $*"
}

skip() {
	say "not run: $*"
	exit 77
}

# shellcheck source=../../scripts/namespaces.sh
. "$(dirname "$0")/../../scripts/namespaces.sh"
if ! namespaces_are_here; then
	why=$(namespaces_missing ip tc)
	[ -z "$why" ] || skip "$why"
	namespaces_enter "$0" "$@"
fi

cd "$(dirname "$0")/../.." || exit 1
namespaces_begin cards
failed=0

# Hosts a and b with a cable between their cards of each network: 66, which leads to the master, 77 and 88.
build() {
	local network host number

	for host in a b; do
		ip netns add $host
		ip -n $host link set lo up
	done
	for network in 66 77 88; do
		ip -n a link add net$network type veth peer name net$network netns b || exit 1
		number=1
		for host in a b; do
			ip -n $host addr add "10.$network.0.$number/24" dev net$network
			ip -n $host addr add "fd$network::$number/64" dev net$network nodad
			ip -n $host link set net$network up
			tc -n $host qdisc add dev net$network root tbf rate $rate burst 64kb latency 20ms 2>/dev/null || limited=no
			number=$((number + 1))
		done
	done
}

demolish() {
	local network

	for network in 66 77 88; do
		ip -n a link del net$network
	done
	ip netns del a
	ip netns del b
}

# sent HOST NETWORK: bytes.
sent() {
	ip netns exec "$1" cat /sys/class/net/net"$2"/statistics/tx_bytes
}

# start SECONDS OPTION...: a master, and a peer on each host.
start() {
	local host seconds=$1

	shift
	rm -f "$work"/* # what the case before has said
	ip netns exec a "$bin/pccl-master" --listen "[::]:48148" --log-level ERR >"$work/master" 2>&1 &
	master=$!
	namespaces_await_master $master "$work/master"
	pids=
	for host in a b; do
		PCCL_LOG_LEVEL=INFO PCCL_INTERFACES=net77,net88 ip netns exec $host timeout 110 "$bin/allreduce-bench" \
			--master 10.66.0.1:48148 --peers 2 --sizes 8M --seconds "$seconds" --warmup 1 --check "$@" >"$work/$host" 2>&1 &
		pids="$pids $!"
	done
}

# Waits for them: none may have lost the other.
finish() {
	local pid ok=yes

	for pid in $pids; do
		wait "$pid" || ok=no
	done
	kill $master
	wait $master 2>/dev/null
	grep -hE "lost|evict" "$work/a" "$work/b" | grep -v "was lost: left" && ok=no
	[ $ok = yes ] && return
	tail -n 15 "$work"/*
	return 1
}

# carried LEAST MOST NETWORK...: so many per cent of what both sent went over each of these.
carried() {
	local host network all=0 part share least=$1 most=$2

	shift 2
	for host in a b; do
		for network in 66 77 88; do
			all=$((all + $(sent $host $network)))
		done
	done
	for network in "$@"; do
		part=$(($(sent a $network) + $(sent b $network)))
		share=$((part * 100 / all))
		say "net$network carried $share % of $((all >> 20)) MiB"
		[ $share -ge "$least" ] && [ $share -le "$most" ] || return 1
	done
}

both_carry() {
	start 2
	finish && carried 25 75 77 88 && carried 0 5 66
}

six_carry() {
	for host in a b; do
		ip -n $host -4 addr flush dev net77
		ip -n $host -4 addr flush dev net88
	done
	start 2
	finish && carried 25 75 77 88 && carried 0 5 66
}

over_tls() {
	"$bin/pccl-master" --generate-secret >/run/secret
	export PCCL_SECURITY=psk PCCL_SECRET_FILE=/run/secret
	start 2
	export PCCL_SECURITY=none
	unset PCCL_SECRET_FILE
	finish && carried 25 75 77 88 && carried 0 5 66
}

# Each lane has one stream, on a card of its own.
by_lanes() {
	start 2 --lanes 2 --streams 1
	finish && carried 25 75 77 88 && carried 0 5 66
}

# told WORDS SECONDS: does a peer say so within the time? Else 1.
told() {
	local turn

	for turn in $(seq $(($2 * 5))); do
		grep -q "$1" "$work/a" "$work/b" && return
		sleep 0.2
	done
	say "in $2 s no peer has said: $1"
	return 1
}

# grows NETWORK SECONDS: does anything pass there within the time? Else 1.
grows() {
	local before turn

	before=$(sent a "$1")
	for turn in $(seq $(($2 * 2))); do
		sleep 0.5
		[ $(($(sent a "$1") - before)) -gt $((2 << 20)) ] && return
	done
	say "nothing passes net$1 for $2 s"
	return 1
}

# Pulled out, and put in again.
one_unplugged() {
	local ok=yes

	start 25 # all of what follows has so much time
	grows 88 30 || ok=no
	ip -n b link set net88 down
	told "no way from" 20 || ok=no # a cable that is back before is not missed
	grows 77 20 || ok=no
	ip -n b link set net88 up
	grows 88 20 || ok=no
	finish && [ $ok = yes ] && told "all streams go the ways that they should" 1
}

# What goes over one card is lost without a word, either way.
one_cut_off() {
	local ok=yes

	start 12
	grows 88 30 || ok=no
	ip -n a neigh replace 10.88.0.2 lladdr 02:00:00:00:00:77 dev net88
	ip -n b neigh replace 10.88.0.1 lladdr 02:00:00:00:00:77 dev net88
	# Whoever watches the whole link would have it dialled again later, and says so in other words.
	told "is silent, and is dialled by another way" 20 || ok=no
	grows 77 20 || ok=no
	finish && [ $ok = yes ]
}

# Fewer on one side.
one_without_address() {
	ip -n b addr flush dev net88
	start 2
	finish && carried 90 100 77 && grep -q "the interface net88 (PCCL_INTERFACES) carries nothing" "$work/b"
}

limited=yes
[ $# -gt 0 ] && cases=$*
ip link set lo up
for case in $cases; do
	build
	[ $limited = yes ] || skip "tc can't limit a cable here"
	start=$EPOCHREALTIME
	verdict=passed
	$case || { verdict=failed; failed=1; }
	say "$case $verdict after $(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}') s"
	demolish
done
exit $failed
