#!/bin/bash
# Runs a script in a small machine that has an RDMA device, which this one need not have:
#
#	tests/vm/run.sh CACHE SCRIPT
#
# Debian's kernel is emulated by QEMU, without its drivers for disks and networks: the machine has this one's files,
# read-only with a layer of memory above them, no network but lo and one that ends nowhere, and on each a soft-RoCE device.
# CACHE keeps the kernel and what was made of it. The script runs as root in the same folder, with PCCL_TEST_RDMA=device
# and PCCL_TEST_SHORT as it is here, and what it writes comes here as it is written. The exit status is the script's, 125
# if it did not get to its end. Status 77: this machine can't do that; the last line says why.
# PCCL_VM_TIMEOUT: seconds for all of it, 540 by default; PCCL_VM_BOOT_TIMEOUT: until the script begins, 180.
set -u

cache=$1
script=$2
here=$(cd "$(dirname "$0")" && pwd)
limit=${PCCL_VM_TIMEOUT:-540}
boot_limit=${PCCL_VM_BOOT_TIMEOUT:-180}

say() {
	echo "tests/vm: $*"
}

# What can't be had here is no fault of what is to be tested.
skip() {
	say "$*"
	exit 77
}

[ "$(uname -m)" = x86_64 ] || skip "this machine is no x86_64"
for tool in qemu-system-x86_64 apt-get dpkg-deb xz; do
	command -v "$tool" >/dev/null || skip "there is no $tool"
done

# ---- what is loaded, and in which order --------------------------------------------------------------------------

wanted="virtio_pci virtio_console 9pnet_virtio 9p overlay crc32_generic crc32_pclmul dummy ib_uverbs rdma_rxe"

# The files of modules and of all that they need, each after those.
declare -A file_of=() listed=()
list_module() {
	local name=${1//-/_} needed

	[ -z "${listed[$name]:-}" ] && [ -n "${file_of[$name]:-}" ] || return 0
	listed[$name]=1
	for needed in $(tr '\0' '\n' <"${file_of[$name]}" | sed -n 's/^depends=//p' | tr ',' ' '); do
		list_module "$needed"
	done
	echo "${file_of[$name]}"
}

list_modules() {
	local file name

	while IFS= read -r file; do
		name=${file##*/}
		name=${name%.ko}
		file_of[${name//-/_}]=$file
	done < <(find "$1" -name '*.ko')
	for name in $wanted; do
		list_module "$name"
	done
}

# ---- the machine ----------------------------------------------------------------------------------------------------

# A package's file, without installing it.
fetch() {
	(cd "$cache" && timeout 300 apt-get -q -o APT::Sandbox::User=root download "$1") >/dev/null 2>&1
	for file in "$cache/$1"_*.deb; do
		[ -s "$file" ] && echo "$file" && return
	done
	return 1
}

number_at() {
	od -An -t"u$3" -j "$2" -N "$3" "$1" | tr -d ' '
}

# The kernel as it is in memory, which QEMU starts at once: the file has sectors of setup, then the packed one, whose place
# and length are at offsets of the boot protocol; the last 4 bytes are no part of it.
unpack_kernel() {
	local sectors offset length

	sectors=$(number_at "$1" 497 1)
	offset=$(((sectors + 1) * 512 + $(number_at "$1" 584 4)))
	length=$(($(number_at "$1" 588 4) - 4))
	tail -c "+$((offset + 1))" "$1" | head -c "$length" | xz -dc --single-stream
}

make_machine() {
	local new=$cache/new root=$cache/new/root name package busybox file

	name=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*-amd64\)$/\1/p' |
		head -n 1)
	[ -n "$name" ] || return 1
	package=$(fetch "$name") && busybox=$(fetch busybox-static) || return 1
	rm -rf "$new"
	mkdir -p "$root"/{bin,dev,proc,sys,below,above,all,modules}
	dpkg-deb --fsys-tarfile "$package" | tar -x -C "$new" --wildcards './boot/vmlinuz-*' './lib/modules/*/kernel/arch' \
		'./lib/modules/*/kernel/crypto' './lib/modules/*/kernel/lib' './lib/modules/*/kernel/net' \
		'./lib/modules/*/kernel/fs' './lib/modules/*/kernel/drivers/virtio' './lib/modules/*/kernel/drivers/char' \
		'./lib/modules/*/kernel/drivers/infiniband' './lib/modules/*/kernel/drivers/net/*.ko' || return 1
	unpack_kernel "$new"/boot/vmlinuz-* >"$new/kernel" && [ -s "$new/kernel" ] || return 1
	dpkg-deb --fsys-tarfile "$busybox" | tar -xO ./bin/busybox >"$root/bin/busybox" && chmod 755 "$root/bin/busybox" ||
		return 1
	while IFS= read -r file; do
		cp "$file" "$root/modules/" && echo "${file##*/}"
	done < <(list_modules "$new/lib/modules") >"$root/modules/order"
	grep -q rdma_rxe "$root/modules/order" || return 1
	cp "$here/init.sh" "$root/init" && chmod 755 "$root/init" || return 1
	(cd "$root" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null) >"$new/initrd" || return 1
	mv "$new/kernel" "$new/initrd" "$cache/" && rm -rf "$new"
}

mkdir -p "$cache" || exit 125
cache=$(cd "$cache" && pwd)
if [ ! -s "$cache/kernel" ] || [ ! -s "$cache/initrd" ] || [ "$here/init.sh" -nt "$cache/initrd" ]; then
	say "making the machine"
	make_machine || skip "Debian's kernel can't be had"
fi

# ---- the run --------------------------------------------------------------------------------------------------------

SECONDS=0
job=$(mktemp -d)
machine=
clean_up() {
	[ -n "$machine" ] && kill "$machine" 2>/dev/null
	rm -rf "$job"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

{
	printf 'cd %q || exit 125\nexport PATH=%q HOME=/root LANG=C.UTF-8\n' "$PWD" "$PATH"
	printf 'export PCCL_TEST_RDMA=device PCCL_TEST_SHORT=%q\nexec bash %q\n' "${PCCL_TEST_SHORT:-}" "$script"
} >"$job/go"

# All of it is emulated, with or without /dev/kvm, which where this was written is slower than that.
# All of memory that it may have, for its layer of memory is in that, too.
timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nodefaults -no-user-config \
	-no-reboot -display none -kernel "$cache/kernel" -initrd "$cache/initrd" \
	-append 'console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check random.trust_cpu=on' \
	-serial file:"$job/console" -device virtio-serial-pci \
	-chardev stdio,id=out,signal=off -device virtconsole,chardev=out \
	-virtfs local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap \
	-virtfs local,path="$job",mount_tag=job,security_model=none </dev/null &
machine=$!
while [ ! -e "$job/begun" ] && kill -0 "$machine" 2>/dev/null && [ $SECONDS -lt "$boot_limit" ]; do
	sleep 0.5
done
# A machine that gives up by itself has said why, and is broken.
if [ ! -e "$job/begun" ] && { kill -0 "$machine" 2>/dev/null || [ ! -s "$job/console" ]; }; then
	tail -n 30 "$job/console" 2>/dev/null
	skip "the machine was not up after $SECONDS s, so RDMA was NOT tested"
fi
wait "$machine"
ended=$?
machine=
status=$(cat "$job/status" 2>/dev/null)
if [ -z "$status" ]; then
	say "the machine ended with status $ended, and the script had not; its console:"
	tail -n 30 "$job/console"
	exit 125
fi
exit "$status"
