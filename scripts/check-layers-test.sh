#!/bin/bash
# Proves that check-layers.sh sees what it is there for: a small clean tree passes, and each violation put into it
# fails with words that name it.
set -u

checker=$(dirname "$0")/check-layers.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

# A fresh tree with one clean file per floor.
reset_tree() {
	rm -rf "${tree:?}"/*
	mkdir -p "$tree"/src/{base,collectives,membership,transport,sync,programs} "$tree"/bench \
		"$tree"/tests/unit/collectives "$tree"/obj
	put src/base/bytes.h ''
	put src/transport/tcp.h ''
	put src/membership/master.h ''
	put src/base/bytes.c '#include "base/bytes.h"'
	put src/collectives/plan.c '#include "base/bytes.h"'
	put src/membership/master.c '#include "membership/master.h"' '#include <string.h>'
	put src/transport/tcp.c '#include "transport/tcp.h"' '#include <time.h>' '#include <sys/socket.h>' \
		'int now(struct timespec *t) {return clock_gettime(CLOCK_MONOTONIC, t);}'
	put src/comm.c '#include "transport/tcp.h"' '#include "membership/master.h"'
	put bench/bench.c '#include <stdio.h>' 'int main(void) {return printf("");}'
	put tests/unit/collectives/test_plan.c '#include "base/bytes.h"'
}

# put FILE LINE...
put() {
	local file=$1

	shift
	printf '%s\n' "$@" 'typedef int something;' >"$tree/$file"
}

compile() {
	local file

	(cd "$tree" && find src -name '*.c') | while read -r file; do
		mkdir -p "$tree/obj/$(dirname "$file")"
		${CC:-cc} -w -I"$tree/src" -c -o "$tree/obj/${file%.c}.o" "$tree/$file" || exit 1
	done
}

# expect_violation WORDS: the tree as it stands must be refused with these words.
expect_violation() {
	local output

	compile
	if output=$("$checker" "$tree" "$tree/obj" 2>&1); then
		echo "not seen: $1"
		failures=$((failures + 1))
	elif [[ $output != *"$1"* ]]; then
		echo "seen, but in other words than '$1': $output"
		failures=$((failures + 1))
	fi
	reset_tree
}

reset_tree
compile
if ! "$checker" "$tree" "$tree/obj"; then
	echo "a clean tree is refused"
	failures=$((failures + 1))
fi

put src/base/bytes.c '#include "transport/tcp.h"'
expect_violation 'src/base/bytes.c includes transport/tcp.h'
put src/collectives/plan.c '#include <membership/master.h>'
expect_violation 'src/collectives/plan.c includes membership/master.h'
put src/membership/master.h '#include "transport/tcp.h"'
expect_violation 'src/membership/master.h includes transport/tcp.h'
put src/transport/tcp.c ' #  include "membership/master.h"'
expect_violation 'src/transport/tcp.c includes membership/master.h'
put tests/unit/collectives/test_plan.c '#include "membership/master.h"'
expect_violation 'tests/unit/collectives/test_plan.c includes membership/master.h'
put bench/bench.c '#include "base/bytes.h"'
expect_violation 'bench/bench.c includes base/bytes.h'
put src/membership/master.c '#include <sys/socket.h>'
expect_violation 'src/membership/master.c includes <sys/socket.h>'
put src/membership/master.c 'int f(void *t) {return clock_gettime(1, t);}'
expect_violation 'src/membership/master.c uses clock_gettime'
put src/collectives/plan.c 'int f(void *t) {return pthread_mutex_lock(t);}'
expect_violation 'src/collectives/plan.c uses pthread_mutex_lock'
put src/collectives/plan.c 'char *f(void) {return (char *)getenv("X");}'
expect_violation 'src/collectives/plan.c uses getenv'
put src/base/bytes.c 'int f(void) {return recv(0, 0, 0, 0);}'
expect_violation 'src/base/bytes.c uses recv'
put src/transport/tcp.c 'void f(void) {exit(1);}'
expect_violation 'src/transport/tcp.c uses exit'
put src/comm.c '#include <stdio.h>' 'int f(int x) {return printf("%d", x);}'
expect_violation 'src/comm.c uses printf'
put src/comm.c '#include <stdlib.h>' 'void *f(int x) {return malloc(x);}'
expect_violation 'src/comm.c uses malloc'
compile
rm "$tree/obj/src/comm.o"
put src/programs/main.c ''
output=$("$checker" "$tree" "$tree/obj" 2>&1) && { echo "a missing object is not seen"; failures=$((failures + 1)); }
output=$("$checker" "$tree/obj" "$tree/obj" 2>&1) && { echo "an empty tree is not seen"; failures=$((failures + 1)); }

if [ $failures -ne 0 ]; then
	echo "check-layers-test: $failures failures"
	exit 1
fi
