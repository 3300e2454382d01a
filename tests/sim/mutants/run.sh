#!/bin/bash
# Proves the simulator's checkers: each mutant is a one-line break of the machines and must be caught within 1,000 seeds.
#
#	tests/sim/mutants/run.sh [NAME]...
#	tests/sim/mutants/run.sh -n		only says which would change nothing, or don't compile
#	tests/sim/mutants/run.sh -t		a third of them, drawn at random
#
# A .mutant file says: what it breaks; in which file (or files, with commas between, where one guard stands behind
# another), and on which level, unless the file's own ("forging": 1, among forgers; "cards": 2, where hosts have several
# network cards), and whether it is rare,
# or, for what the simulator does not run, in which unit test it shows, or which fuzz target's corpus has an input that
# shows it (fuzz/fuzz_NAME); the sed script that does it. A rare one shows in few histories: it is looked for in ten times
# as many, and not by -t. The tree is copied: the library that ships carries no hooks. Exit status 1 if a mutant lives, or
# no longer changes anything.
set -u
root=$(cd "$(dirname "$0")/../../.." && pwd)
here=$root/tests/sim/mutants
seeds=${SEEDS:-1000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Mutants that the sources have moved away from.
find_stale() {
	local mutant files file stale=0

	for mutant in "$here"/*.mutant; do
		read -r files _ < <(sed -n 2p "$mutant")
		sed -n '3,$p' "$mutant" > "$work/script"
		for file in ${files//,/ }; do
			sed -f "$work/script" "$root/$file" > "$work/changed"
			if cmp -s "$root/$file" "$work/changed"; then
				echo "STALE   $(basename "$mutant" .mutant): changes nothing in $file"
				stale=1
			elif ! (cd "$root" && ${CC:-cc} -fsyntax-only -w -std=c99 -D_GNU_SOURCE -Iinclude \
				-Iinclude/pccl -Isrc -x c "$work/changed") 2> "$work/err"; then
				echo "STALE   $(basename "$mutant" .mutant): does not compile: $(head -1 "$work/err")"
				stale=1
			fi
		done
	done
	return $stale
}

if [ "${1:-}" = -n ]; then
	find_stale
	exit
fi

cp -r "$root"/{src,include,tests,bench,scripts,Makefile} "$work"
simulator=build/release/test/pccl-sim
# Every processor has the portable kernels. What a corpus shows it shows without mutations.
export PCCL_CPU=scalar

build() { # [TEST]
	make -C "$work" -s -j"$(nproc)" OPT_release=-O1 "${1:+build/release/test/}${1:-$simulator}" > "$work/err" 2>&1
}

# A mutant is looked for where its file is at work: the machines alone (1), or with sessions and executors (2).
run() { # LEVEL|TEST SEEDS
	[[ $1 == */* ]] && { (cd "$work" && PCCL_FUZZ_MUTATIONS=0 timeout 300 "build/release/test/$1") > "$work/out" 2>&1; return; }
	[[ $1 == forging ]] && set -- 1 "$2" --from 12884901888
	[[ $1 == cards ]] && set -- 2 "$2" --from 17179869184
	timeout 300 "$work/$simulator" --level "$1" --seeds "$2" "${@:3}" > "$work/out" 2>&1
}

build || { head -20 "$work/err"; exit 1; }
{ run 1 "$seeds" && run 2 "$seeds"; } || { echo "the machines as they are fail already:"; tail -3 "$work/out"; exit 1; }

lived=0
mutants=()
if [ "${1:-}" = -t ]; then
	mapfile -t mutants < <(awk 'FNR == 2 && $NF != "rare" {print FILENAME}' "$here"/*.mutant | shuf | awk 'NR % 3 == 1')
else
	for name in "${@:-*}"; do
		# shellcheck disable=SC2206
		mutants+=("$here"/$name.mutant)
	done
fi
for mutant in "${mutants[@]}"; do
	name=$(basename "$mutant" .mutant)
	read -r files level rare < <(sed -n 2p "$mutant")
	sed -n '3,$p' "$mutant" > "$work/script"
	for file in ${files//,/ }; do
		sed -i -f "$work/script" "$work/$file"
		if cmp -s "$root/$file" "$work/$file"; then
			echo "STALE   $name: changes nothing in $file"
			lived=1
			continue 2
		fi
	done
	test=
	[[ $level == */* ]] && test=$level
	if ! build "$test"; then
		echo "STALE   $name: does not compile: $(head -1 "$work/err")"
		lived=1
	else
		[[ $file == src/membership/* || $level == cards ]] || level=${test:-2}
		if run "${level:-1}" "${seeds}${rare:+0}"; then
			echo "LIVES   $name: $(sed -n 1p "$mutant")"
			lived=1
		else
			echo "caught  $name: $(tail -1 "$work/out" | cut -c1-110)"
		fi
	fi
	for file in ${files//,/ }; do
		cp "$root/$file" "$work/$file"
	done
done
exit $lived
