#!/bin/bash
# tests/python/wheel.sh WHEEL: installs it into an empty environment, and two peers reduce there. Every library that
# theirs needs has to be the wheel's own, but for libc's.
set -eu

wheel=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $wheel in
*-py3-none-manylinux*) ;;
*)
	echo "the wheel is not for any Python of Linux: $wheel"
	exit 1
	;;
esac
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check --no-index --no-deps "$wheel"
cat >"$work/program.py" <<'END'
import pathlib
import sys

import pccl

with pccl.Communicator(settings=pccl.Settings()) as communicator:
    while communicator.world_size < 2:
        communicator.update_topology()
    values = bytearray([1, 2, 3])
    communicator.all_reduce_with(values)
    assert list(values) == [2, 4, 6], list(values)
    communicator.barrier()
maps = pathlib.Path("/proc/self/maps").read_text()
loaded = {line.split()[-1] for line in maps.splitlines() if ".so" in line}
for name in ("libpccl", "libssl", "libcrypto", "libhwloc", "libjansson", "libxxhash", "libzstd"):
    assert any(name in path and path.startswith(sys.prefix) for path in loaded), (name, loaded)
print("reduced\n", end="")  # at once: pccl-run does not buffer, and the other one prints at the same time
END
cd "$work"
env -u PYTHONPATH -u PCCL_LIBRARY -u LD_LIBRARY_PATH "$work/env/bin/pccl-run" -n 2 program.py >"$work/output"
[ "$(cat "$work/output")" = "$(printf 'reduced\nreduced')" ] || {
	cat "$work/output"
	exit 1
}
echo "the wheel works: $(basename "$wheel"), $(du -k "$wheel" | cut -f 1) KiB"
