#!/bin/bash
# Holds the floors apart:
#
#	scripts/check-layers.sh ROOT OBJECTS
#
# by the include lines of the sources below ROOT and by the symbols of their objects below OBJECTS. One line
# per violation on stderr; the exit status is 0 if there is none. check-layers-test.sh proves that violations are seen.
set -u

root=$1
objects=$2
violations=0

violation() {
	echo "check-layers: $*" >&2
	violations=$((violations + 1))
}

# The folders below src that a file may include from, its own first; a trailing /. means that folder without those below
# it, and "any" stands for all. What is not listed may include nothing, so that a new folder has to say what it is.
may_include() {
	local elements="base collectives/element"

	case ${1#tests/unit/} in
	base/* | src/base/*) echo base ;;
	src/collectives/element/*) echo "$elements" ;;
	collectives/element/*) echo "$elements collectives/reduce" ;; # which has the kernels of the conversions
	collectives/reduce/* | src/collectives/reduce/*) echo "$elements collectives/reduce" ;;
	src/collectives/codec/*) echo "$elements collectives/reduce collectives/codec" ;;
	collectives/codec/*) echo "$elements collectives/reduce collectives/codec bench" ;; # and the reference data
	collectives/plan/* | src/collectives/plan/*) echo "$elements collectives/plan" ;;
	collectives/exec/* | src/collectives/exec/*) echo base collectives ;;
	membership/message/* | src/membership/message/*) echo base membership/message ;;
	src/membership/master/*) echo base membership/message membership/master ;;
	src/membership/peer/*) echo base membership/message membership/peer ;;
	membership/*) echo base membership ;;
	transport/loop/* | src/transport/loop/*) echo base transport/loop ;;
	src/transport/engine/*) echo base transport/. transport/loop transport/engine ;;
	src/transport/tcp/*) echo base transport/. transport/loop transport/engine transport/tcp ;;
	src/transport/tls/*) echo base transport/. transport/loop transport/engine transport/tls ;;
	src/transport/shm/*) echo base transport/. transport/loop transport/engine transport/tcp transport/shm ;;
	src/transport/rdma/*) echo base transport/. transport/loop transport/engine transport/tcp transport/rdma ;;
	src/transport/link/*) echo base transport/. transport/loop transport/link ;;
	src/transport/wires/*) echo base transport/. transport/tcp transport/tls transport/shm transport/rdma transport/wires ;;
	src/transport/*/*) ;;
	src/transport/*) echo base transport/. transport/loop ;;
	transport/*) echo base transport ;;
	session/* | src/session/*) echo base collectives membership/message session ;;
	sync/* | src/sync/*) echo base collectives/element collectives/codec collectives/exec session sync ;;
	device/* | src/device/*) echo base sync/state device ;;
	store/* | src/store/*) echo base collectives/element sync/state device store ;;
	src/training/*) echo base sync transport/loop comm training ;;
	src/comm/*) echo base collectives membership transport/. transport/loop transport/link transport/wires session sync device comm ;;
	src/api/*) echo base collectives membership transport/. transport/loop transport/link session sync device store comm training api ;;
	src/programs/*) echo base transport/. transport/rdma comm programs ;; # what they parse and print are addresses and choices
	bench/*) echo bench ;;
	tests/* | comm/* | api/*) echo any ;;
	esac
}

is_pure() {
	case $1 in
	src/base/* | src/collectives/* | src/membership/* | src/session/* | src/sync/*) return 0 ;;
	esac
	return 1
}

# may_use FOLDER ALLOWED...
may_use() {
	local folder=$1 allowed

	shift
	for allowed in "$@"; do
		case $allowed in
		any | "$folder" | "$folder/.") return 0 ;;
		esac
		[[ $folder == "$allowed"/* ]] && return 0
	done
	return 1
}

# System headers that a floor without sockets, clocks and threads has no use for.
impure_headers='^(sys/.*|net.*/.*|arpa/.*|linux/.*|openssl/.*|infiniband/.*|rdma/.*|pthread.h|unistd.h|time.h|poll.h|netdb.h|fcntl.h|signal.h|threads.h|hwloc.h|ifaddrs.h|semaphore.h|sched.h)$'

check_include() {
	local file=$1 header=$2 folder=${2%/*}

	# Also in angle brackets our own headers are our own.
	if [ "$folder" != "$header" ] && [ -d "$root/src/$folder" ] || [ "$folder" = bench ]; then
		# shellcheck disable=SC2046 # a list of words
		may_use "$folder" $(may_include "$file") || violation "$file includes $header"
	fi
	if is_pure "$file" && [[ $header =~ $impure_headers ]]; then
		case "$file $header" in
		"src/base/log.c time.h" | "src/base/log.c unistd.h" | "src/base/log.c poll.h") ;; # it writes lines with the time
		"src/base/identity.c openssl/"* | "src/sync/state/digest.c openssl/sha.h" | \
			"src/collectives/exec/exec_verify.c openssl/sha.h") ;; # digests
		"src/base/memory.c sys/mman.h") ;;			 # it asks for huge pages
		*) violation "$file includes <$header>, but its floor has no sockets, clocks and threads" ;;
		esac
	fi
}

check_includes() {
	local file header

	while IFS=: read -r file header; do
		check_include "$file" "$header"
	done < <(cd "$root" && find src bench tests -name '*.[ch]' -exec awk '
		match($0, /^[ \t]*#[ \t]*include[ \t]*[<"][^>"]*/) {
			header = substr($0, RSTART, RLENGTH)
			sub(/^[^<"]*[<"]/, "", header)
			while (sub(/^\.\.\//, "", header))
				;
			print FILENAME ":" header
		}' {} + 2>/dev/null)
}

# No two modules, or folders, may need each other, over however many others. A module is x.h with x.c and all x_*.[ch]
# beside it.
#
#	check_circles modules|folders
check_circles() {
	local line circle=

	while read -r line; do
		case $line in
		*"contains a loop"*) [ -n "$circle" ] && violation "a circle of $1:$circle" ;;
		esac
		case $line in
		*"contains a loop"*) circle=' ' ;;
		*) circle+=" ${line#tsort: }" ;;
		esac
	done < <(
		cd "$root" && find src -name '*.[ch]' | sort | xargs awk -v of="$1" '
		function module(file,   folder, name, words, count, i, head) {
			folder = file
			sub(/[^\/]*$/, "", folder)
			if (of == "folders")
				return folder
			name = substr(file, length(folder) + 1)
			sub(/\.[ch]$/, "", name)
			count = split(name, words, "_")
			for (i = 1; i < count; i++) {
				head = i == 1 ? words[1] : head "_" words[i]
				if ((folder head ".h") in is_file)
					return folder head
			}
			return folder name
		}
		BEGIN {
			for (i = 1; i < ARGC; i++)
				is_file[ARGV[i]]
		}
		match($0, /^[ \t]*#[ \t]*include[ \t]*[<"][^>"]*/) {
			header = substr($0, RSTART, RLENGTH)
			sub(/^[^<"]*[<"]/, "", header)
			if (("src/" header) in is_file && module(FILENAME) != module("src/" header))
				print module(FILENAME), module("src/" header)
		}' | tsort 2>&1 >/dev/null
		echo 'contains a loop'
	)
}

pure_denied='^(clock_.*|gettimeofday|time|ftime|nanosleep|usleep|sleep|socket|socketpair|connect|bind|listen|accept4?|shutdown|setsockopt|getsockopt|getaddrinfo|send|sendto|sendmsg|sendmmsg|recv|recvfrom|recvmsg|recvmmsg|read|readv|pread.*|write|writev|pwrite.*|open|openat|fopen.*|close|ioctl|fcntl.*|poll|ppoll|select|epoll_.*|eventfd|pipe2?|pthread_.*|sem_.*|futex|syscall|sched_.*|getenv|secure_getenv|getrandom|mmap.*|fork|kill)$'
# What a guest in another program's process never does: end it, write to its stdout, touch its signals or environment.
library_denied='^(exit|_exit|_Exit|quick_exit|abort|atexit|printf|vprintf|puts|putchar|stdout|stderr|perror|signal|sigaction|system|fork|vfork|setenv|unsetenv|putenv|setlocale|chdir|umask|srand|rand|srandom|random)$'
# The heap belongs to base/memory.c, which tests make fail.
heap_denied='^(malloc|calloc|realloc|reallocarray|free|posix_memalign|aligned_alloc|memalign|strdup|strndup|asprintf|vasprintf)$'

is_allowed_symbol() {
	case $1 in
	src/base/cpu.c:getenv) return 0 ;;
	src/base/log.c:getenv | src/base/log.c:write | src/base/log.c:poll | src/base/log.c:clock_gettime) return 0 ;;
	src/base/memory.c:*) [[ $2 =~ $heap_denied ]] && return 0 ;;
	esac
	return 1
}

# Lines of "OBJECT KIND SYMBOL" that the rules below may have something to say about: U, used from elsewhere; D, a public
# name defined here.
suspicious_symbols() {
	local used="${pure_denied%)$}|${library_denied#^(}"

	used="${used%)$}|${heap_denied#^(}"
	sed 's,.*,'"$objects"'/&,; s,c$,o,' | xargs nm -A -g --format=posix | awk -v used="$used" '{
		object = $1
		sub(/:$/, "", object)
		symbol = $2
		sub(/@.*/, "", symbol)
		if ($3 == "U" && symbol ~ used)
			print object, "U", symbol
		else if ($3 != "U" && symbol ~ /^pccl[A-Z]/)
			print object, "D", symbol
	}'
}

check_symbols() {
	local file object kind symbol files

	files=$(cd "$root" && find src -name '*.c' -not -path 'src/programs/*' | sort)
	for file in $files; do
		# Of RDMA there is one half, built with verbs, or the other.
		case $file in
		src/transport/rdma/verbs.c | src/transport/rdma/device.c | src/transport/rdma/pair.c)
			[ -f "$objects/src/transport/rdma/pair_none.o" ] && continue
			;;
		src/transport/rdma/pair_none.c) [ -f "$objects/src/transport/rdma/pair.o" ] && continue ;;
		esac
		[ -f "$objects/${file%.c}.o" ] || violation "$file has no object in $objects: nothing was checked"
	done
	while read -r object kind symbol; do
		file=${object#"$objects"/}
		file=${file%.o}.c
		if [ "$kind" = D ]; then
			[[ $file == src/api/* ]] || violation "$file defines $symbol, which is src/api's to do"
		elif is_allowed_symbol "$file:$symbol" "$symbol"; then
			continue
		elif is_pure "$file" && [[ $symbol =~ $pure_denied ]]; then
			violation "$file uses $symbol, but its floor has no sockets, clocks and threads"
		elif [[ $symbol =~ $library_denied ]]; then
			violation "$file uses $symbol, which a library doesn't do to its host"
		elif [[ $symbol =~ $heap_denied ]]; then
			violation "$file uses $symbol; use base/memory.h"
		elif [ "$symbol" = close ] && [[ $file != src/transport/loop/fork.c && $file != src/store/* ]]; then
			violation "$file uses close; use pccl_fork_close(), and pccl_fork_own() before"
		fi
	done < <(for file in $files; do [ -f "$objects/${file%.c}.o" ] && echo "$file"; done | suspicious_symbols)
}

if ! [ -d "$root/src/base" ] || ! ls "$root"/src/base/*.c >/dev/null 2>&1; then
	violation "no sources below $root/src/base: nothing was checked"
fi
check_includes
check_circles modules
check_circles folders
check_symbols
if [ $violations -ne 0 ]; then
	echo "check-layers: $violations violations" >&2
	exit 1
fi
