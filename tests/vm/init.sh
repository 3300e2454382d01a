#!/bin/busybox sh
# The first process of the machine that run.sh starts: makes it one in which programs of the host run, with a soft-RoCE
# device on lo and another one on a network of its own, runs the script that it was given, and switches it off.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

off() {
	sync
	reboot -f
	sleep 60
}

fail() {
	echo "$*" >/dev/console
	off
}

while read -r module; do
	insmod "/modules/$module" || echo "no $module" >/dev/console
done </modules/order
how=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "$how,ro,cache=loose" hostroot /below || fail "the host's files can't be had"
mount -t tmpfs -o size=60%,mode=755 above /above
mkdir /above/files /above/work
mount -t overlay -o lowerdir=/below,upperdir=/above/files,workdir=/above/work,xino=off all /all ||
	fail "nothing can be laid over the host's files"
mkdir -p /all/proc /all/sys /all/dev /all/run /all/tmp
mount -t proc proc /all/proc
mount -t sysfs sys /all/sys
mount -t devtmpfs dev /all/dev
mkdir -p /all/dev/shm /all/dev/pts
mount -t tmpfs shm /all/dev/shm
mount -t devpts pts /all/dev/pts
[ -e /all/dev/fd ] || ln -s /proc/self/fd /all/dev/fd
mount -t tmpfs run /all/run
mkdir -p /all/run/job /all/run/lock
mount -t 9p -o "$how,cache=none" job /all/run/job || fail "the script can't be had"
ip link set lo up
ulimit -l unlimited
# Of all the drivers that libibverbs would try, one after the other, one is of use here.
for driver in /all/etc/libibverbs.d/*; do
	[ "${driver##*/}" = rxe.driver ] || rm -f "$driver"
done
chroot /all rdma link add rxe_lo type rxe netdev lo || fail "no soft-RoCE device"
chroot /all ip link add rdma0 type dummy && chroot /all ip address add 10.99.0.1/24 dev rdma0 &&
	chroot /all ip link set rdma0 up && chroot /all rdma link add rxe_dummy type rxe netdev rdma0 ||
	fail "no second soft-RoCE device"
: >/all/run/job/begun
chroot /all /bin/bash /run/job/go </dev/null >/dev/hvc0 2>&1
echo $? >/all/run/job/status
off
