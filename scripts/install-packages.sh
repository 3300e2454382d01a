#!/bin/sh
# Installs the named Debian packages that are missing; says and does nothing when all are there.
set -eu

if ! command -v dpkg-query >/dev/null; then
	echo "not a Debian system: please make sure that there is: $*"
	exit 0
fi

missing=
for package in "$@"; do
	status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	case $status in
	installed*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root=sudo
fi
echo "installing:$missing"
# The lists of a fresh container are empty, those of an old machine stale: update, and go on with what there is if
# that fails.
$as_root apt-get update -q || echo "apt-get update failed; trying with the lists that are here"
# shellcheck disable=SC2086 # the names are to be split
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
