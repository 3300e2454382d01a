# shellcheck shell=sh
# For scripts that make networks: they run once more in namespaces of their own (network, mounts, processes), which end
# with them, so the host sees nothing of it. To be sourced.
#
#	if ! namespaces_are_here; then
#		why=$(namespaces_missing ip tc)		what stands against it; "": nothing
#		namespaces_enter "$0" "$@"		does not return
#	fi
#	namespaces_begin NAME				in the folder of the project; sets $bin and $work

namespaces_are_here() {
	[ "${PCCL_NAMESPACES:-}" = yes ]
}

# The tools that the script needs besides.
namespaces_missing() {
	for tool in unshare mount "$@"; do
		command -v "$tool" >/dev/null || { echo "needs $tool (Debian: util-linux, iproute2)"; return; }
	done
	[ "$(id -u)" = 0 ] || { echo "making network namespaces needs root"; return; }
	unshare --net --mount true 2>/dev/null || echo "network namespaces are not allowed here"
}

namespaces_enter() {
	PCCL_NAMESPACES=yes exec unshare --net --mount --pid --fork --kill-child --mount-proc "$@"
}

# Whether the master with that process id listens, when it has said so in the file, or 30 seconds are over.
namespaces_await_master() {
	for _ in $(seq 300); do
		grep -q "listening on" "$2" 2>/dev/null && return
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	echo "there is no master:"
	cat "$2"
	return 1
}

# Programs are those of PCCL_BUILD, build/release by default; ip keeps the names of namespaces in /run.
namespaces_begin() {
	unset PCCL_NAMESPACES # what it calls may have some of its own
	bin=$(cd "${PCCL_BUILD:-build/release}/bin" && pwd) || exit 1
	mount -t tmpfs tmpfs /run || exit 1
	work=/run/$1
	mkdir "$work"
}
