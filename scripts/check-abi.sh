#!/bin/bash
# The public header, the export map, the shared library and the archive must name the same functions, and each way to
# include the header must work by itself:
#
#	scripts/check-abi.sh LIBRARY.so LIBRARY.a
set -u

library=$1
archive=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Comments go, lines are joined; what is left of a declaration is the name in front of the first parenthesis.
cat include/pccl/*.h | sed -e 's,/\*[^*]*\*/,,g' | awk '!/^#/' | tr '\n\t' '  ' | sed 's/PCCL_EXPORT/\n&/g' |
	sed -n 's/^PCCL_EXPORT [^(;]*[ *]\(pccl[A-Za-z0-9]*\)(.*/\1/p' | sort >"$work/header"
sed -n 's/^[ \t]*\([A-Za-z_][A-Za-z0-9_]*\);.*/\1/p' src/libpccl.map | sort >"$work/map"
nm -D --defined-only --format=posix "$library" | awk '$2 != "A" {sub(/@.*/, "", $1); print $1}' | sort >"$work/library"
nm --extern-only --defined-only --format=posix "$archive" | awk 'NF > 1 {print $1}' | sort >"$work/archive"

status=0
for name in map library archive; do
	if ! diff -u --label "the header" --label "the $name" "$work/header" "$work/$name"; then
		status=1
	fi
done
if [ "$(wc -l <"$work/header")" -lt 44 ]; then
	echo "check-abi: only $(wc -l <"$work/header") functions found in the header: is it still read right?"
	status=1
fi
[ $status -eq 0 ] || echo "check-abi: header, src/libpccl.map, $library and $archive differ" >&2

# Every enumerator has a word: pcclGetName().
awk '/^typedef enum pccl/ {inside = 1} inside {print} /}/ {inside = 0}' include/pccl/*.h | sed 's,/\*.*,,' |
	grep -oE '\<(pccl[A-Za-z0-9]+|PCCL_[A-Z0-9_]+) = [0-9]+|\<pccl(Sum|Avg|Prod|Max|Min)\>' | sed 's/ =.*//' | grep -v '^pcclEnum' >"$work/values"
[ "$(wc -l <"$work/values")" -ge 90 ] || { echo "check-abi: enumerators were not found"; status=1; }
while read -r value; do
	if ! grep -q "\<$value\>" src/base/names.c; then
		echo "check-abi: $value has no word in src/base/names.c" >&2
		status=1
	fi
done <"$work/values"

# The headers by themselves, as their users include them: C99 and, where there is a compiler for it, C++.
compiles() {
	printf '#include <%s>\ntypedef int user;\n' "$1" >"$work/user.c"
	cp "$work/user.c" "$work/user.cc"
	${CC:-cc} -std=c99 -pedantic-errors -Wall -Wextra -Werror "-I$2" -fsyntax-only "$work/user.c" || status=1
	if command -v c++ >/dev/null; then
		c++ -std=c++11 -pedantic-errors -Wall -Wextra -Werror "-I$2" -fsyntax-only "$work/user.cc" || status=1
	fi
}
for header in include/pccl/*.h; do
	compiles "pccl/${header##*/}" include
	compiles "${header##*/}" include/pccl
done
exit $status
