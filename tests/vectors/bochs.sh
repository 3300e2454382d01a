#!/bin/bash
# Runs a program that is linked statically under Bochs, which has AVX-512, and prints what it prints:
#
#	tests/vectors/bochs.sh PROGRAM
#
# The program is what Linux starts first there, with the console for its output; the kernel is Debian's, from its package,
# which is unpacked and not installed. Two to ten minutes.
set -eu
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

kernel() {
	local package

	package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
	(cd "$work" && apt-get download "$package" >/dev/null 2>&1 && dpkg -x linux-image*.deb kernel)
	cp "$work"/kernel/boot/vmlinuz-* "$work/cd/boot/vmlinuz"
}

root() {
	mkdir -p "$work/root/dev"
	cp "$program" "$work/root/init"
	mknod -m 600 "$work/root/dev/console" c 5 1
	(cd "$work/root" && find . | cpio -o -H newc 2>/dev/null | gzip) >"$work/cd/boot/initrd"
}

# Bochs tells other sizes of compacted register sets than Linux expects of it: without them, both agree.
grub() {
	cat >"$work/cd/boot/grub/grub.cfg" <<-END
		set timeout=0
		menuentry vectors {
			linux /boot/vmlinuz console=ttyS0 clearcpuid=xsavec,xsaves mitigations=off tsc=reliable lpj=1000000 quiet
			initrd /boot/initrd
		}
	END
	grub-mkrescue -o "$work/cd.iso" "$work/cd" >"$work/grub.log" 2>&1
}

machine() {
	cat >"$work/bochsrc" <<-END
		cpu: model=corei7_skylake_x, count=1, ips=100000000, ignore_bad_msrs=1
		megs: 512
		romimage: file=/usr/share/bochs/BIOS-bochs-latest
		vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
		ata0-master: type=cdrom, path=$work/cd.iso, status=inserted
		boot: cdrom
		com1: enabled=1, mode=file, dev=$work/serial
		display_library: rfb, options="timeout=0"
		speaker: enabled=0
		sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
		clock: sync=none, time0=1700000000
		log: $work/bochs.log
	END
	echo c >"$work/go"
}

mkdir -p "$work/cd/boot/grub"
kernel
root
grub
machine
touch "$work/serial"
# Its screen would listen on a port: in a namespace of its own nobody sees it. When the program ends, Linux panics.
unshare --net timeout 3600 bochs -q -f "$work/bochsrc" -rc "$work/go" >"$work/out" 2>&1 </dev/null &
bochs=$!
until grep -aq "Kernel panic" "$work/serial" || ! kill -0 $bochs 2>/dev/null; do
	sleep 1
done
kill $bochs 2>/dev/null || true
# Its messages may interrupt the last line.
tr -d '\r' <"$work/serial" | sed 's/\[ .*//' | grep -a .
