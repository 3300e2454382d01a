#!/bin/bash
# Runs test programs, each with a time limit, and says how it went:
#
#	tests/run.sh [-j JOBS] [-w WRAPPER] ITEM... [-- ITEM... [-- ITEM...]]
#
# An ITEM is a program, or NAME::COMMAND WITH ARGUMENTS. Those before the -- run up to JOBS at a time; those after it in
# pairs, for they wait for half of their time; those after another -- one by one. WRAPPER goes in front of every program
# (valgrind, say). One line per item with its time; what a failed one wrote is shown. An item that can't run here ends
# with status 77, and its last line, which is shown, says why. The last line is "N passed, N failed", and how many were
# skipped if any were; the exit status is 0 only if something ran and all that ran passed.
# PCCL_TEST_TIMEOUT: seconds per item, 120 by default.
set -u

limit=${PCCL_TEST_TIMEOUT:-120}
jobs=$(nproc)
wrapper=
after=1 # how often -- still means pairs
while getopts j:w: option; do
	case $option in
	j) jobs=$OPTARG ;;
	w) wrapper=$OPTARG ;;
	*) exit 2 ;;
	esac
done
[ "${*:OPTIND-1:1}" != -- ] || OPTIND=$((OPTIND - 1)) # getopts takes a first -- for its own
shift $((OPTIND - 1))

logs=$(mktemp -d)
declare -A names=() started=() log_of=()
passed=0
failed=0
skipped=0
serial=0

clean_up() {
	for pid in "${!names[@]}"; do
		kill "$pid" 2>/dev/null # timeout(1) passes it on to the whole process group
	done
	rm -rf "$logs"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# Starts an item in the background.
start() {
	local name=$1 command="$wrapper $1" log=$logs/$((++serial))

	if [[ $1 == *::* ]]; then
		name=${1%%::*}
		command=${1#*::}
	fi
	# shellcheck disable=SC2086 # the command is to be split into words
	timeout -k 5 "$limit" $command >"$log" 2>&1 </dev/null &
	names[$!]=${name#build/*/test/}
	started[$!]=$EPOCHREALTIME
	log_of[$!]=$log
}

# Waits for any item that runs, and reports it.
finish() {
	local pid= status verdict=pass

	wait -n -p pid
	status=$?
	if [ -z "${pid:-}" ]; then # wait -n may miss one that ended while this script did something else
		for pid in "${!names[@]}"; do
			kill -0 "$pid" 2>/dev/null || break
		done
		wait "$pid"
		status=$?
	fi
	case $status in
	0) passed=$((passed + 1)) ;;
	77)
		skipped=$((skipped + 1))
		verdict="SKIPPED: $(tail -n 1 "${log_of[$pid]}")"
		;;
	124 | 137) verdict="FAIL (time limit of $limit s, or killed)" ;;
	*) verdict="FAIL (status $status)" ;;
	esac
	awk -v name="${names[$pid]}" -v from="${started[$pid]}" -v to="$EPOCHREALTIME" -v verdict="$verdict" \
		'BEGIN {printf "%8.2f s  %-44s %s\n", to - from, name, verdict}'
	if [ $status -ne 0 ] && [ $status -ne 77 ]; then
		failed=$((failed + 1))
		echo "---- ${names[$pid]} wrote (last 200 lines):"
		tail -n 200 "${log_of[$pid]}"
		echo "----"
	fi
	unset "names[$pid]"
}

for item in "$@"; do
	[ -n "$item" ] || continue
	if [ "$item" = -- ]; then
		while [ ${#names[@]} -gt 0 ]; do
			finish
		done
		jobs=$((after-- > 0 ? 2 : 1))
		continue
	fi
	while [ ${#names[@]} -ge "$jobs" ]; do
		finish
	done
	start "$item"
done
while [ ${#names[@]} -gt 0 ]; do
	finish
done

echo "$passed passed, $failed failed$([ $skipped -gt 0 ] && echo ", $skipped skipped: see above why")"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
