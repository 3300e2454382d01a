#!/bin/bash
# The public header, the export map and the shared library must name the same functions:
#
#	scripts/check-abi.sh LIBRARY.so
set -u

library=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Comments go, lines are joined; what is left of a declaration is the name in front of the first parenthesis.
cat include/pccl/*.h | sed -e 's,/\*[^*]*\*/,,g' | awk '!/^#/' | tr '\n\t' '  ' | sed 's/PCCL_EXPORT/\n&/g' |
	sed -n 's/^PCCL_EXPORT [^(;]*[ *]\(pccl[A-Za-z0-9]*\)(.*/\1/p' | sort >"$work/header"
sed -n 's/^[ \t]*\([A-Za-z_][A-Za-z0-9_]*\);.*/\1/p' src/libpccl.map | sort >"$work/map"
nm -D --defined-only --format=posix "$library" | awk '$2 != "A" {sub(/@.*/, "", $1); print $1}' | sort >"$work/library"

status=0
for name in map library; do
	if ! diff -u --label "the header" --label "the $name" "$work/header" "$work/$name"; then
		status=1
	fi
done
if [ "$(wc -l <"$work/header")" -lt 39 ]; then
	echo "check-abi: only $(wc -l <"$work/header") functions found in the header: is it still read right?"
	status=1
fi
[ $status -eq 0 ] || echo "check-abi: header, src/libpccl.map and $library differ" >&2

# The header by itself, as its users include it: C99 and, where there is a compiler for it, C++.
echo '#include <pccl.h>' >"$work/user.c"
cp "$work/user.c" "$work/user.cc"
${CC:-cc} -std=c99 -pedantic-errors -Wall -Wextra -Werror -Iinclude/pccl -fsyntax-only "$work/user.c" || status=1
echo '#include <pccl/pccl.h>' >"$work/user.c"
${CC:-cc} -std=c99 -pedantic-errors -Wall -Wextra -Werror -Iinclude -Iinclude/pccl -fsyntax-only "$work/user.c" || status=1
if command -v c++ >/dev/null; then
	c++ -std=c++11 -pedantic-errors -Wall -Wextra -Werror -Iinclude/pccl -fsyntax-only "$work/user.cc" || status=1
fi
exit $status
