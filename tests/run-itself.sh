#!/bin/bash
# Proves that run.sh tells passes from failures: a runner that counts wrongly would hide everything else.
set -u

if [ "${1:-}" = skip ]; then # as an item
	echo "no such machine"
	exit 77
fi
if [ "${1:-}" = meet ]; then # passes if another one began before half a second is over
	touch "$MEET/$$"
	sleep 0.5
	[ "$(find "$MEET" -type f | wc -l)" -ge 2 ]
	exit
fi

runner=$(dirname "$0")/run.sh
failures=0

# expect STATUS LAST_LINE WORDS ARGUMENT...: runs the runner with the arguments.
expect() {
	local status=$1 last=$2 words=$3 output status_seen

	shift 3
	MEET=$(mktemp -d)
	export MEET
	output=$(PCCL_TEST_TIMEOUT=2 "$runner" "$@" 2>&1)
	status_seen=$?
	rm -r "$MEET"
	if [ $status_seen -ne "$status" ] || [ "$(tail -n 1 <<<"$output")" != "$last" ] || [[ $output != *"$words"* ]]; then
		printf 'not as expected (%s; %s; %s):\n%s\n' "$status" "$last" "$words" "$output"
		failures=$((failures + 1))
	fi
}

expect 0 "2 passed, 0 failed" "named" true "named::test 1 -lt 2"
expect 1 "1 passed, 1 failed" "FAIL (status 1)" true false
expect 1 "1 passed, 1 failed" "time limit" -- true "slow::sleep 20"
expect 1 "0 passed, 1 failed" "/these/words" "loud::ls /these/words"
expect 1 "0 passed, 1 failed" "FAIL (status 127)" /no/such/program
expect 1 "0 passed, 0 failed" ""
expect 1 "0 passed, 0 failed" "" "" --
expect 0 "3 passed, 0 failed" "" -j 2 true true -- true
expect 0 "3 passed, 0 failed" "" -- "meets::$0 meet" "meets::$0 meet" -- true
expect 1 "1 passed, 1 failed" "" -- -- "meets::$0 meet" "meets::$0 meet"
expect 1 "0 passed, 1 failed" "" -w false true
expect 0 "1 passed, 0 failed, 1 skipped: see above why" "SKIPPED: no such machine" true "$(dirname "$0")/run-itself.sh skip"
expect 1 "0 passed, 0 failed, 1 skipped: see above why" "" "$(dirname "$0")/run-itself.sh skip"

if [ $failures -ne 0 ]; then
	echo "run-itself: $failures failures"
	exit 1
fi
