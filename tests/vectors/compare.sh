#!/bin/bash
# Compares the hashes of this machine's kernels, level by level, with those of the program that was built for aarch64:
#
#	tests/vectors/compare.sh PROGRAM AARCH64_BUILD
#
# and looks whether the latter's kernels are vectorized.
set -u
here=$1
there=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# judge NAME FILE: the first file is what the others are compared with.
judge() {
	[ -e "$work/first" ] || cp "$2" "$work/first"
	if [ -s "$2" ] && diff "$work/first" "$2" >"$work/diff"; then
		echo "  $1: $(wc -l <"$2") lines, $(md5sum <"$2" | cut -c1-12)"
		passed=$((passed + 1))
	else
		echo "  $1: DIFFERS"
		head -10 "$work/diff"
		failed=$((failed + 1))
	fi
}

for level in scalar avx2 avx512; do
	PCCL_CPU=$level "$here" >"$work/$level" 2>"$work/level" || echo failed >"$work/$level"
	if grep -q "^$level " "$work/level"; then
		judge "$(uname -m) $level" "$work/$level"
	else
		echo "  $(uname -m) $level: not checked, this processor does not have it"
	fi
done
qemu-aarch64 "$there/test/vectors/vectors" >"$work/aarch64" 2>"$work/level" || echo failed >"$work/aarch64"
judge "aarch64 $(cut -d' ' -f1 "$work/level") (qemu)" "$work/aarch64"

# Four floats at a time, in both tables of kernels.
for kernels in codec reduce; do
	count=$(aarch64-linux-gnu-objdump -d "$there/obj/src/collectives/${kernels}_scalar.o" |
		grep -cE '[[:space:]]f(mul|add)[[:space:]].*\.4s')
	if [ "$count" -gt 0 ]; then
		echo "  aarch64 ${kernels}: $count NEON multiplications and additions of four floats"
		passed=$((passed + 1))
	else
		echo "  aarch64 ${kernels}: NOT VECTORIZED"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
