#!/bin/bash
# Compares the hashes of this machine's kernels, level by level, with those that a command for another machine prints:
#
#	tests/vectors/compare.sh PROGRAM NAME COMMAND [-o OBJECTS] [-x WORDS]
#
# and looks whether the kernels in the folder OBJECTS are vectorized, which are for aarch64. Lines with one of the WORDS are
# left out of what the command prints.
set -u
here=$1
name=$2
there=$3
shift 3
objects='' words='no such word'
while getopts o:x: option; do
	case $option in
	o) objects=$OPTARG ;;
	x) words=$OPTARG ;;
	*) exit 2 ;;
	esac
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# run COMMAND: lines to $work/lines, and the kernels it has used to $level.
run() {
	$1 >"$work/all" 2>&1 || echo failed >>"$work/all"
	level=$(sed -n 's/ kernels$//p' "$work/all")
	grep -v ' kernels$' "$work/all" >"$work/lines"
}

# judge NAME: the first lines are what the others are compared with.
judge() {
	[ -e "$work/first" ] || cp "$work/lines" "$work/first"
	if [ -s "$work/lines" ] && diff "$work/first" "$work/lines" >"$work/diff"; then
		echo "  $1: $(wc -l <"$work/lines") lines, $(md5sum <"$work/lines" | cut -c1-12)"
		passed=$((passed + 1))
	else
		echo "  $1: DIFFERS"
		head -10 "$work/diff"
		failed=$((failed + 1))
	fi
}

# Four floats at a time?
look() {
	local count

	count=$(aarch64-linux-gnu-objdump -d "$objects/$1/${1}_scalar.o" |
		grep -cE '[[:space:]]f(mul|add)[[:space:]].*\.4s')
	if [ "$count" -gt 0 ]; then
		echo "  $name $1: $count NEON multiplications and additions of four floats"
		passed=$((passed + 1))
	else
		echo "  $name $1: NOT VECTORIZED"
		failed=$((failed + 1))
	fi
}

for wish in scalar avx2 avx512; do
	PCCL_CPU=$wish run "$here"
	if [ "$level" = $wish ]; then
		judge "here, $wish"
	else
		echo "  here, $wish: not checked, this processor does not have it"
	fi
done
run "$there"
for file in first lines; do
	grep -vwE "$words" "$work/$file" >"$work/fewer" && mv "$work/fewer" "$work/$file"
done
judge "$name, $level"
if [ -n "$objects" ]; then
	look codec
	look reduce
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
