"""The ctypes declarations are those of the headers: made from them, and of the same sizes, offsets and values."""

import ctypes
import pathlib
import subprocess
import sys

import pytest

from pccl import _declarations as d

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def structures():
    kinds = (ctypes.Structure, ctypes.Union)
    return [value for name, value in vars(d).items()
            if isinstance(value, type) and issubclass(value, kinds) and value.__name__ == name]


def constants():
    return [name for name, value in vars(d).items() if isinstance(value, int) and not name.startswith("_")]


def test_they_are_made_from_the_headers():
    pytest.importorskip("pycparser")
    subprocess.run([sys.executable, ROOT / "bindings/python/generate.py", "--check"], check=True)


def test_sizes_offsets_and_values_are_those_of_the_compiler(tmp_path):
    wanted = []
    lines = []
    for structure in structures():
        lines.append(f'printf("%zu\\n", sizeof({structure.__name__}));')
        wanted.append(ctypes.sizeof(structure))
        for field, *_ in structure._fields_:
            lines.append(f'printf("%zu\\n", offsetof({structure.__name__}, {field}));')
            wanted.append(getattr(structure, field).offset)
    for name in constants():
        lines.append(f'printf("%lld\\n", (long long){name});')
        wanted.append(getattr(d, name))
    assert len(structures()) > 15 and len(constants()) > 60
    source = tmp_path / "layout.c"
    headers = sorted(path.name for path in (ROOT / "include/pccl").glob("*.h"))
    names = [*(f"pccl/{name}" for name in headers), "stdio.h", "stddef.h"]
    source.write_text("".join(f"#include <{name}>\n" for name in names) +
                      "int main(void)\n{\n" + "\n".join(lines) + "\n}\n")
    program = tmp_path / "layout"
    subprocess.run(["cc", "-I", ROOT / "include", "-I", ROOT / "include/pccl", source, "-o", program], check=True)
    found = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    assert [int(number) for number in found] == wanted
