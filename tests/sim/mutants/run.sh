#!/bin/bash
# Proves the simulator's checkers: each mutant is a one-line break of the machines and must be caught within 1,000 seeds.
#
#	tests/sim/mutants/run.sh [NAME]...
#	tests/sim/mutants/run.sh -n		only says which would change nothing
#
# A .mutant file says: what it breaks; in which file, and on which level, unless the file's own; the sed script that does it. The sources are copied: the
# library that ships carries no hooks. Exit status 1 if a mutant lives, or no longer changes anything.
set -u
root=$(cd "$(dirname "$0")/../../.." && pwd)
here=$root/tests/sim/mutants
seeds=${SEEDS:-1000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc=${CC:-gcc}
flags="-std=c99 -O1 -D_GNU_SOURCE -I$work/src -I$root/include -I$root/include/pccl -I$root/tests -I$root/tests/sim -pthread -w"

# Mutants that the sources have moved away from.
find_stale() {
	local mutant file stale=0

	for mutant in "$here"/*.mutant; do
		read -r file _ < <(sed -n 2p "$mutant")
		sed -n '3,$p' "$mutant" > "$work/script"
		sed -f "$work/script" "$root/$file" > "$work/changed"
		if cmp -s "$root/$file" "$work/changed"; then
			echo "STALE   $(basename "$mutant" .mutant): changes nothing in $file"
			stale=1
		fi
	done
	return $stale
}

if [ "${1:-}" = -n ]; then
	find_stale
	exit
fi

cp -r "$root/src" "$work/src"
mkdir -p "$work/obj"

object() { # FILE -> its object
	echo "$work/obj/$(echo "$1" | tr / _).o"
}

compile() { # FILE below src or tests
	local from=$work/$1
	case $1 in tests/*) from=$root/$1 ;; esac
	local extra=
	case $1 in
	*_sse42.c) extra="-msse4.2 -mpclmul" ;;
	*_vpclmul256.c) extra="-mavx2 -mvpclmulqdq -mpclmul -msse4.2" ;;
	*_vpclmul512.c) extra="-mavx512f -mavx512vl -mavx512bw -mavx512dq -mvpclmulqdq -mpclmul -msse4.2" ;;
	*_avx2.c) extra="-mavx2 -mf16c -mbmi2" ;;
	*_avx512.c) extra="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mf16c -mbmi2" ;;
	esac
	# shellcheck disable=SC2086
	"$cc" $flags $extra -c "$from" -o "$(object "$1")"
}

# Of the base floor, what the machines, the session and the executors need; the portable kernels are enough.
sources=$(cd "$root" && ls src/base/{fail,log,bytes,bitmap,rng,uuid,copy,cpu,crc32c*}.c src/membership/*/*.c src/collectives/*/*.c \
	src/session/*.c tests/sim/*.c)
export PCCL_CPU=scalar
for file in $sources; do
	compile "$file" || exit 1
done

# A mutant is looked for where its file is at work: the machines alone (1), or with sessions and executors (2).
build_and_run() { # LEVEL
	# shellcheck disable=SC2086
	"$cc" $flags "$work"/obj/*.o -lzstd -lm -o "$work/pccl-sim" || return 2
	timeout 300 "$work/pccl-sim" --level "$1" --seeds "$seeds" > "$work/out" 2>&1
}

{ build_and_run 1 && build_and_run 2; } || { echo "the machines as they are fail already:"; tail -3 "$work/out"; exit 1; }

lived=0
mutants=()
for name in "${@:-*}"; do
	# shellcheck disable=SC2206
	mutants+=("$here"/$name.mutant)
done
for mutant in "${mutants[@]}"; do
	name=$(basename "$mutant" .mutant)
	read -r file level < <(sed -n 2p "$mutant")
	sed -n '3,$p' "$mutant" > "$work/script"
	cp "$root/$file" "$work/$file"
	sed -i -f "$work/script" "$work/$file"
	if cmp -s "$root/$file" "$work/$file"; then
		echo "STALE   $name: changes nothing in $file"
		lived=1
		continue
	fi
	if ! compile "$file" 2> "$work/err"; then
		echo "STALE   $name: does not compile: $(head -1 "$work/err")"
		lived=1
	else
		case $file in src/membership/*) ;; *) level=2 ;; esac
		build_and_run "${level:-1}"
		case $? in
		0) echo "LIVES   $name: $(sed -n 1p "$mutant")"; lived=1 ;;
		*) echo "caught  $name: $(tail -1 "$work/out" | cut -c1-110)" ;;
		esac
	fi
	cp "$root/$file" "$work/$file"
	compile "$file"
done
exit $lived
