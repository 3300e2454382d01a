#!/bin/bash
# The sizes of the house style, which clang-format can't keep: files, functions and lines. Of documents the width of
# lines, but for tables and code.
#
#	scripts/check-style.sh FILE.[ch]... FILE.md...
awk '
	function fault(text) {
		print FILENAME ":" FNR ": " text
		faults++
	}
	# Columns with tabs of 8; bytes that continue a UTF-8 character do not count.
	function columns(line,    index_, character, at) {
		for (index_ = 1; index_ <= length(line); index_++) {
			character = substr(line, index_, 1)
			if (character == "\t")
				at += 8 - at % 8
			else if (character !~ /[\200-\277]/)
				at++
		}
		return at
	}
	FNR == 1 {
		begin = 0
		document = FILENAME ~ /\.md$/
		code = 0
	}
	document && /^ *```/ {
		code = !code
		next
	}
	document && (code || /^ *\|/ || /^(\t|    )/) {next}
	!document && FNR == 601 {fault("over 600 lines: split the file by idea")}
	columns($0) > 120 {fault("over 120 columns")}
	!document && /[ \t]$/ {fault("space at the end of the line")}
	!document && /^{/ {begin = FNR}
	!document && /^}/ {
		if (begin > 0 && FNR - begin - 1 > 70)
			fault("a function of " FNR - begin - 1 " lines; 70 is the limit")
		begin = 0
	}
	END {exit faults > 0}
' "$@"
