#!/bin/bash
# Proves that check-layers.sh sees what it is there for: a small clean tree passes, and each violation put into it
# fails with words that name it.
set -u

checker=$(dirname "$0")/check-layers.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

# A fresh tree with one clean file per floor, and a header in each folder.
reset_tree() {
	local folder

	rm -rf "${tree:?}"/*
	for folder in base collectives/{element,reduce,codec,plan,exec} membership/{message,master,peer} \
		transport transport/{loop,engine,tcp,tls,link,wires} session sync sync/state device store comm training api \
		programs; do
		mkdir -p "$tree/src/$folder" "$tree/tests/unit/$folder"
		put "src/$folder/${folder##*/}.h" ''
	done
	mkdir -p "$tree/bench" "$tree/obj"
	put src/base/bytes.c '#include "base/base.h"'
	put src/collectives/codec/codec.c '#include "collectives/reduce/reduce.h"' '#include "collectives/element/element.h"'
	put src/collectives/exec/exec.c '#include "collectives/plan/plan.h"' '#include "collectives/codec/codec.h"'
	put src/membership/master/master.c '#include "membership/message/message.h"' '#include <string.h>'
	put src/transport/tcp/tcp.c '#include "transport/transport.h"' '#include <time.h>' '#include <sys/socket.h>' \
		'int now(struct timespec *t) {return clock_gettime(CLOCK_MONOTONIC, t);}'
	put src/session/session.c '#include "collectives/exec/exec.h"' '#include "membership/message/message.h"'
	put src/sync/sync.c '#include "session/session.h"'
	put src/comm/comm.c '#include "transport/link/link.h"' '#include "membership/master/master.h"'
	put src/api/api.c '#include "comm/comm.h"'
	put src/programs/main.c '#include "transport/transport.h"' '#include <stdio.h>' 'int main(void) {return printf("");}'
	put bench/bench.c '#include <stdio.h>' 'int main(void) {return printf("");}'
	put tests/unit/collectives/plan/test_plan.c '#include "base/base.h"'
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

# expect_violation WORDS: the tree as it stands must be refused with these words. Only symbols need new objects.
expect_violation() {
	local output

	[[ $1 == *" uses "* || $1 == *" defines "* ]] && compile
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

# FILE may not include HEADER: every rule broken once.
while read -r file header; do
	put "$file" "#include \"$header\""
	expect_violation "$file includes $header"
done <<END
src/base/bytes.c transport/tcp/tcp.h
src/collectives/element/element.h collectives/reduce/reduce.h
src/collectives/reduce/reduce.c collectives/codec/codec.h
src/collectives/codec/codec.c collectives/plan/plan.h
src/collectives/plan/plan.c collectives/exec/exec.h
src/collectives/plan/plan.c membership/message/message.h
src/collectives/exec/exec.c session/session.h
src/membership/message/message.c membership/master/master.h
src/membership/master/master.c membership/peer/peer.h
src/membership/peer/peer.h membership/master/master.h
src/membership/master/master.h transport/tcp/tcp.h
src/transport/transport.h transport/tcp/tcp.h
src/transport/loop/loop.c transport/transport.h
src/transport/tcp/tcp.c transport/link/link.h
src/transport/tcp/tcp.c membership/master/master.h
src/transport/link/link.c transport/tcp/tcp.h
src/transport/link/link.c transport/engine/engine.h
src/transport/engine/engine.c transport/tcp/tcp.h
src/transport/tls/tls.c transport/tcp/tcp.h
src/transport/tls/tls.c transport/link/link.h
src/transport/wires/wires.c transport/link/link.h
src/transport/transport.h transport/wires/wires.h
src/transport/link/link.c session/session.h
src/session/session.c transport/link/link.h
src/session/session.c membership/master/master.h
src/sync/sync.c transport/transport.h
src/sync/sync.c comm/comm.h
src/store/store.c comm/comm.h
src/store/store.c session/session.h
src/device/device.c store/store.h
src/device/device.c comm/comm.h
src/device/device.c transport/loop/loop.h
src/sync/sync.c device/device.h
src/comm/comm.c store/store.h
src/comm/comm.c training/training.h
src/training/training.c api/api.h
src/training/training.c transport/link/link.h
src/training/training.c device/device.h
src/comm/comm.c api/api.h
src/comm/comm.c transport/tcp/tcp.h
src/api/api.c programs/programs.h
src/programs/main.c transport/link/link.h
bench/bench.c base/base.h
tests/unit/collectives/plan/test_plan.c membership/master/master.h
tests/unit/base/test_bytes.c session/session.h
tests/unit/collectives/codec/test_codec.c collectives/plan/plan.h
tests/unit/membership/master/test_master.c transport/transport.h
tests/unit/session/test_session.c transport/transport.h
tests/unit/sync/test_sync.c comm/comm.h
tests/unit/device/test_device.c comm/comm.h
tests/unit/store/test_store.c comm/comm.h
tests/unit/transport/link/test_link.c session/session.h
END
put src/collectives/plan/plan.c '#include <membership/master/master.h>'
expect_violation 'src/collectives/plan/plan.c includes membership/master/master.h'
put src/transport/tcp/tcp.c ' #  include "membership/master/master.h"'
expect_violation 'src/transport/tcp/tcp.c includes membership/master/master.h'
mkdir "$tree/src/new"
put src/new/new.c '#include "base/base.h"'
expect_violation 'src/new/new.c includes base/base.h'
put src/comm/lane.h '#include "comm/comm.h"'
put src/comm/comm.c '#include "comm/lane.h"'
expect_violation 'a circle of modules:  src/comm/comm src/comm/lane'
put src/store/store.h '#include "sync/state/state.h"'
put src/sync/state/state.c '#include "store/store.h"'
expect_violation 'a circle of folders:  src/store/ src/sync/state/'
put src/comm/lane_links.c '#include "comm/control_port.h"'
put src/comm/lane.h ''
put src/comm/control_port.h '#include "comm/settings.h"'
put src/comm/control.h ''
put src/comm/settings.h '#include "comm/lane.h"'
expect_violation 'a circle of modules:'
put src/membership/master/master.c '#include <sys/socket.h>'
expect_violation 'src/membership/master/master.c includes <sys/socket.h>'
put src/session/session.c '#include <pthread.h>'
expect_violation 'src/session/session.c includes <pthread.h>'
put src/membership/master/master.c 'int f(void *t) {return clock_gettime(1, t);}'
expect_violation 'src/membership/master/master.c uses clock_gettime'
put src/collectives/plan/plan.c 'int f(void *t) {return pthread_mutex_lock(t);}'
expect_violation 'src/collectives/plan/plan.c uses pthread_mutex_lock'
put src/session/session.c 'char *f(void) {return (char *)getenv("X");}'
expect_violation 'src/session/session.c uses getenv'
put src/sync/sync.c 'int f(void) {return open("x", 0);}'
expect_violation 'src/sync/sync.c uses open'
put src/base/bytes.c 'int f(void) {return recv(0, 0, 0, 0);}'
expect_violation 'src/base/bytes.c uses recv'
put src/transport/tcp/tcp.c 'void f(void) {exit(1);}'
expect_violation 'src/transport/tcp/tcp.c uses exit'
put src/comm/comm.c '#include <stdio.h>' 'int f(int x) {return printf("%d", x);}'
expect_violation 'src/comm/comm.c uses printf'
put src/comm/comm.c '#include <stdlib.h>' 'void *f(int x) {return malloc(x);}'
expect_violation 'src/comm/comm.c uses malloc'
put src/comm/comm.c '#include <unistd.h>' 'int f(void) {return close(0);}'
expect_violation 'src/comm/comm.c uses close'
put src/comm/comm.c 'int pcclThing(void) {return 0;}'
expect_violation 'src/comm/comm.c defines pcclThing'
compile
rm "$tree/obj/src/comm/comm.o"
output=$("$checker" "$tree" "$tree/obj" 2>&1) && { echo "a missing object is not seen"; failures=$((failures + 1)); }
output=$("$checker" "$tree/obj" "$tree/obj" 2>&1) && { echo "an empty tree is not seen"; failures=$((failures + 1)); }

if [ $failures -ne 0 ]; then
	echo "check-layers-test: $failures failures"
	exit 1
fi
