#!/bin/bash
# Does what README.md says: installs, compiles its program, runs two copies on a master. Only the port is another one,
# so that it may run beside others.
set -u

work=$(mktemp -d)
master=
cleanup() {
	[ -n "$master" ] && kill "$master" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT

fail() {
	echo "$*"
	exit 1
}

awk '/^```c$/ {inside = 1; next} /^```$/ {inside = 0} inside' README.md >"$work/readme.c"
make --no-print-directory install PREFIX="$work/installed" >"$work/log" 2>&1 || fail "make install: $(cat "$work/log")"
export PKG_CONFIG_PATH=$work/installed/lib/pkgconfig LD_LIBRARY_PATH=$work/installed/lib

for port in $((20000 + $$ % 10000)) $((30000 + $$ % 2000)) $((18000 + $$ % 2000)); do
	"$work/installed/bin/pccl-master" --listen "127.0.0.1:$port" 2>"$work/master" &
	master=$!
	until grep -q 'listening on' "$work/master" || ! kill -0 $master 2>/dev/null; do sleep 0.02; done
	kill -0 $master 2>/dev/null && break
	master=
done
[ -n "$master" ] || fail "no master: $(cat "$work/master")"

grep -q '48148' "$work/readme.c" || fail "the program in README.md does not name the port 48148"
sed "s/48148/$port/" "$work/readme.c" >"$work/program.c"
# shellcheck disable=SC2046 # the flags are to be split
${CC:-cc} -Wall -Wextra -Werror "$work/program.c" $(pkg-config --cflags --libs pccl) -o "$work/program" ||
	fail "the program in README.md does not compile"
# shellcheck disable=SC2046
sed 's/<pccl.h>/<pccl\/pccl.h>/' "$work/program.c" |
	${CC:-cc} -x c -std=c99 -pedantic -Wall -Wextra -Werror - -x none $(pkg-config --cflags --libs pccl) -o "$work/static" \
		-Wl,-Bstatic -lpccl -Wl,-Bdynamic -lhwloc -lzstd -lcrypto -lm -pthread ||
	fail "the program does not compile with <pccl/pccl.h> and the static library"

"$work/program" >"$work/first" 2>&1 &
"$work/static" >"$work/second" 2>&1 || fail "the second program: $(cat "$work/second")"
wait $! || fail "the first program: $(cat "$work/first")"
for output in "$work/first" "$work/second"; do
	[ "$(cat "$output")" = "2 4 6 8" ] || fail "a program printed: $(cat "$output")"
done
kill -TERM $master
wait $master || fail "the master did not end well: $(cat "$work/master")"
master=
