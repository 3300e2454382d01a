#!/bin/sh
# Many seeds of both levels, in slices side by side, a line for each when it is done. What finds something ends its slice,
# and fails the whole.
# usage: soak.sh SIMULATOR SEEDS [FROM]
set -eu
slice=2000
# A world's memory is taken once and for all worlds: glibc gives large buffers back at once otherwise.
export MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TRIM_THRESHOLD_=1000000000

if [ "${4-}" = slice ]; then
	said=$("$1" --from "$2" --seeds "$3") && echo "from $2: $said" && exit 0
	echo "$said"
	exit 1
fi
simulator=$1
from=${3:-1}
end=$((from + $2))
seq "$from" "$slice" $((end - 1)) | while read -r first; do
	echo "$first $((end - first < slice ? end - first : slice))"
done | xargs -P "$(nproc)" -L 1 sh -c '"$0" "$1" "$2" "$3" slice' "$0" "$simulator"
echo "$2 seeds from $from: no violation"
