#!/bin/bash
# run.sh ERRORS NAME FLAGS...: searches the model with these flags; wants the whole of it without a fault (0), or one (1).
set -u
wanted=$1 name=$2
shift 2
model=$PWD/tests/model/membership.pml
mkdir -p "build/model/$name" && cd "build/model/$name" || exit 1
rm -f out *.trail
if ! spin "$@" -a "$model" >log 2>&1 || ! gcc -O2 -DSAFETY -DNOREDUCE -DCOLLAPSE -DMEMLIM=6000 -o pan pan.c 2>>log; then
	cat log
	exit 1
fi
./pan -E -m10000 >out 2>&1
states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
if ! grep -q "errors: $wanted\$" out || grep -q 'max search depth too small\|out of memory' out ||
	{ [ "$wanted" = 0 ] && grep -q 'not completed' out; }; then
	grep -m1 'assertion\|errors\|error' out
	echo "model $name: FAILED (see build/model/$name)"
	exit 1
fi
echo "model $name: errors: $wanted, as it should be, ${states:-no} states"
