#!/bin/bash
# Proves that run.sh tells passes from failures: a runner that counts wrongly would hide everything else.
set -u

if [ "${1:-}" = skip ]; then # as an item
	echo "no such machine"
	exit 77
fi
if [ "${1:-}" = meet ]; then # passes if another one begins before so many tenths of a second are over
	touch "$MEET/$$"
	for _ in $(seq "$2"); do
		[ "$(find "$MEET" -type f | wc -l)" -ge 2 ] && exit
		sleep 0.1
	done
	exit 1
fi

runner=$(dirname "$0")/run.sh
failures=0
limit=100 # of an item, in seconds: a busy machine may take some to start it

# expect STATUS LAST_LINE WORDS ARGUMENT...: runs the runner with the arguments.
expect() {
	local status=$1 last=$2 words=$3 output status_seen

	shift 3
	MEET=$(mktemp -d)
	export MEET
	output=$(PCCL_TEST_TIMEOUT=$limit "$runner" "$@" 2>&1)
	status_seen=$?
	rm -r "$MEET"
	if [ $status_seen -ne "$status" ] || [ "$(tail -n 1 <<<"$output")" != "$last" ] || [[ $output != *"$words"* ]]; then
		printf 'not as expected (%s; %s; %s):\n%s\n' "$status" "$last" "$words" "$output"
		failures=$((failures + 1))
	fi
}

expect 0 "2 passed, 0 failed" "named" true "named::test 1 -lt 2"
expect 1 "1 passed, 1 failed" "FAIL (status 1)" true false
limit=5
expect 1 "1 passed, 1 failed" "time limit" -- true "slow::sleep 100"
limit=100
expect 1 "0 passed, 1 failed" "/these/words" "loud::ls /these/words"
expect 1 "0 passed, 1 failed" "FAIL (status 127)" /no/such/program
expect 1 "0 passed, 0 failed" ""
expect 1 "0 passed, 0 failed" "" "" --
expect 0 "3 passed, 0 failed" "" -j 2 true true -- true
expect 0 "3 passed, 0 failed" "" -- "meets::$0 meet 900" "meets::$0 meet 900" -- true
expect 1 "1 passed, 1 failed" "" -- -- "meets::$0 meet 5" "meets::$0 meet 5"
expect 1 "0 passed, 1 failed" "" -w false true
expect 0 "1 passed, 0 failed, 1 skipped: see above why" "SKIPPED: no such machine" true "$(dirname "$0")/run-itself.sh skip"
expect 1 "0 passed, 0 failed, 1 skipped: see above why" "" "$(dirname "$0")/run-itself.sh skip"

if [ $failures -ne 0 ]; then
	echo "run-itself: $failures failures"
	exit 1
fi
