#!/bin/bash
# Peers that reach each other by some of their addresses only, in network namespaces of their own. Needs root and ip
# (Debian: iproute2); where it has not got them it is skipped (status 77) and says why. Everything ends with the script:
# the host sees nothing of it.
#
#	tests/integration/reach.sh [CASE]...
set -u
export PCCL_SECURITY=none # nothing leaves this machine

cases="two_families ipv6_only ipv4_only beside_the_master one_of_two_networks deaf_member deaf_newcomer"

say() {
	echo "reach.sh: $*"
}

skip() {
	say "not run: $*"
	exit 77
}

# shellcheck source=../../scripts/namespaces.sh
. "$(dirname "$0")/../../scripts/namespaces.sh"
if ! namespaces_are_here; then
	why=$(namespaces_missing ip)
	[ -z "$why" ] || skip "$why"
	namespaces_enter "$0" "$@"
fi

cd "$(dirname "$0")/../.." || exit 1
namespaces_begin reach
serial=0
failed=0

# plug HOST NETWORK NUMBER: an interface of the host on the network, 10.NETWORK.0.NUMBER and fdNETWORK::NUMBER.
plug() {
	local cable=c$1$2

	ip link add "$cable" type veth peer name "net$2" netns "$1" || exit 1
	ip link set "$cable" master "bridge$2" up || exit 1
	ip -n "$1" addr add "10.$2.0.$3/24" dev "net$2" || exit 1
	ip -n "$1" addr add "fd$2::$3/64" dev "net$2" nodad || exit 1
	ip -n "$1" link set "net$2" up
}

# Hosts a, b and c on networks 77 and 88.
build() {
	local host number=1 network

	for network in 77 88; do
		ip link add "bridge$network" type bridge
		ip link set "bridge$network" up
	done
	for host in a b c; do
		ip netns add $host
		ip -n $host link set lo up
		for network in 77 88; do
			plug $host $network $number
		done
		number=$((number + 1))
	done
}

# The cables go first: the kernel takes a namespace apart some time after it was deleted, and the next case needs the
# cables' names.
demolish() {
	local host network

	for host in a b c; do
		for network in 77 88; do
			ip link del c$host$network
		done
		ip netns del $host
	done
	ip link del bridge77
	ip link del bridge88
}

without_v4() {
	ip -n "$1" -4 addr flush dev net77
	ip -n "$1" -4 addr flush dev net88
}

without_v6() {
	ip -n "$1" -6 addr flush dev net77
	ip -n "$1" -6 addr flush dev net88
}

# master LISTEN: on host a.
master() {
	rm -f "$work/master"
	ip netns exec a "$bin/pccl-master" --listen "$1" --log-level ERR >"$work/master" 2>&1 &
	master=$!
	namespaces_await_master $master "$work/master"
}

# deaf HOST: what the others send to its port 48155 is lost without a word; it can call them.
deaf() {
	local host

	for host in a b c; do
		[ $host = "$1" ] && continue
		ip -n $host neigh replace 10.77.0.99 lladdr 02:00:00:00:00:77 dev net77
		ip -n $host neigh replace fd77::99 lladdr 02:00:00:00:00:77 dev net77
		ip -n $host route add default via 10.77.0.99 dev net77 table 99
		ip -n $host -6 route add default via fd77::99 dev net77 table 99
		ip -n $host rule add ipproto tcp dport 48155 lookup 99 priority 0
		ip -n $host -6 rule add ipproto tcp dport 48155 lookup 99 priority 0
	done
}

# peers HOST=MASTER[=deaf]...: each runs operations with all of the others, or the case has failed. Who is deaf listens on
# port 48155.
peers() {
	local pids= pid item ok=yes port

	for item in "$@"; do
		port=0
		[ "${item#*=*=}" = deaf ] && port=48155
		item=${item%=deaf}
		serial=$((serial + 1))
		PCCL_PORT=$port ip netns exec "${item%%=*}" timeout 100 "$bin/allreduce-bench" --master "${item#*=}" --peers $# \
			--sizes 64K --iters 3 --warmup 1 --check >"$work/peer$serial" 2>&1 &
		pids="$pids $!"
		[ $port = 0 ] || sleep 0.3
	done
	for pid in $pids; do
		wait "$pid" || ok=no
	done
	kill $master
	wait $master 2>/dev/null
	[ $ok = yes ] && return
	tail -n 5 "$work"/*
	return 1
}

two_families() {
	without_v6 c
	master "[::]:48148"
	peers "b=[fd77::1]:48148" c=10.77.0.1:48148
}

ipv6_only() {
	without_v4 b
	without_v4 c
	master "[fd77::1]:48148"
	peers "b=[fd77::1]:48148" "c=[fd77::1]:48148"
}

ipv4_only() {
	without_v6 a
	without_v6 b
	without_v6 c
	master 0.0.0.0:48148
	peers b=10.77.0.1:48148 c=10.88.0.1:48148
}

# Two peers are beside the master, which sees them as 127.0.0.1 and ::1: addresses that mean something else elsewhere.
beside_the_master() {
	master "[::]:48148"
	peers a=127.0.0.1:48148 b=10.77.0.1:48148 "a=[::1]:48148" c=10.88.0.1:48148
}

# All reach the master by network 77, where what b and c send each other is lost without a word.
one_of_two_networks() {
	ip -n b neigh replace 10.77.0.3 lladdr 02:00:00:00:00:77 dev net77
	ip -n c neigh replace 10.77.0.2 lladdr 02:00:00:00:00:77 dev net77
	ip -n b neigh replace fd77::3 lladdr 02:00:00:00:00:77 dev net77
	ip -n c neigh replace fd77::2 lladdr 02:00:00:00:00:77 dev net77
	master 10.77.0.1:48148
	peers b=10.77.0.1:48148 c=10.77.0.1:48148
}

# Nobody can dial the first member, which the others should, for their ranks are higher: it dials them.
deaf_member() {
	deaf b
	master 10.77.0.1:48148
	peers b=10.77.0.1:48148=deaf c=10.77.0.1:48148 a=10.77.0.1:48148 c=10.77.0.1:48148
}

# Nobody can dial the last one.
deaf_newcomer() {
	deaf c
	master 10.77.0.1:48148
	peers a=10.77.0.1:48148 b=10.77.0.1:48148 c=10.77.0.1:48148=deaf
}

[ $# -gt 0 ] && cases=$*
ip link set lo up
for case in $cases; do
	build
	start=$EPOCHREALTIME
	verdict=passed
	$case || { verdict=failed; failed=1; }
	say "$case $verdict after $(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}') s"
	demolish
done
exit $failed
