#!/usr/bin/env python3
"""Writes pccl/_declarations.py, the ctypes side of the C headers, so that there is one truth.

    bindings/python/generate.py [--check]

--check: says with exit status 1 whether the file differs from what the headers give. Needs a C compiler and pycparser.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

from pycparser import c_ast, c_parser

HERE = pathlib.Path(__file__).resolve().parent
INCLUDE = HERE.parent.parent / "include"
OUTPUT = HERE / "pccl" / "_declarations.py"

# What the headers take from the system's.
SYSTEM = {
    "stdint.h": "".join(
        f"typedef {kind} {name};\n"
        for name, kind in {
            "int8_t": "signed char", "uint8_t": "unsigned char", "int16_t": "short", "uint16_t": "unsigned short",
            "int32_t": "int", "uint32_t": "unsigned int", "int64_t": "long", "uint64_t": "unsigned long",
        }.items()),
    "stddef.h": "typedef unsigned long size_t;\n",
    "stdbool.h": "#define bool _Bool\n",
}
SCALARS = {
    "int8_t": "c_int8", "uint8_t": "c_uint8", "int16_t": "c_int16", "uint16_t": "c_uint16", "int32_t": "c_int32",
    "uint32_t": "c_uint32", "int64_t": "c_int64", "uint64_t": "c_uint64", "size_t": "c_size_t", "_Bool": "c_bool",
    "float": "c_float", "double": "c_double",
    "int": "c_int", "unsigned int": "c_uint", "char": "c_char", "long": "c_long", "unsigned long": "c_ulong",
}


def preprocess() -> str:
    """All public headers as one translation unit without macros, comments and attributes."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in SYSTEM.items():
            (pathlib.Path(folder) / name).write_text(text, encoding="ascii")
        headers = sorted(path.name for path in (INCLUDE / "pccl").glob("*.h") if not path.name.startswith("ccoip"))
        source = "".join(f"#include <pccl/{name}>\n" for name in headers)
        command = ["cc", "-E", "-P", "-nostdinc", "-undef", "-x", "c", "-std=c99", "-D__attribute__(x)=",
                   "-I", folder, "-I", str(INCLUDE), "-I", str(INCLUDE / "pccl"), "-"]
        return subprocess.run(command, input=source, text=True, check=True, capture_output=True).stdout


class Writer:
    """Walks the declarations and collects the lines of the Python module."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.enums: set[str] = set()
        self.known: set[str] = set()  # structures and unions
        self.functions: list[str] = []

    def type_of(self, node: c_ast.Node) -> str:
        if isinstance(node, c_ast.PtrDecl):
            inner = node.type
            if isinstance(inner, c_ast.FuncDecl):
                return self.function_type(inner)
            if isinstance(inner, c_ast.TypeDecl) and isinstance(inner.type, c_ast.IdentifierType):
                name = " ".join(inner.type.names)
                if name == "char":
                    return "c.c_char_p"
                if name == "void" or (name not in SCALARS and name not in self.known and name not in self.enums):
                    return "c.c_void_p"  # anything, or a handle
            if isinstance(inner, c_ast.TypeDecl) and isinstance(inner.type, c_ast.Struct):
                if inner.type.name not in self.known:
                    return "c.c_void_p"  # declared by a later header
            return f"c.POINTER({self.type_of(inner)})"
        if isinstance(node, c_ast.ArrayDecl):
            return f"{self.type_of(node.type)} * {self.number(node.dim)}"
        if isinstance(node, c_ast.TypeDecl):
            return self.type_of(node.type)
        if isinstance(node, c_ast.Enum):
            return "c.c_int"
        if isinstance(node, (c_ast.Struct, c_ast.Union)):
            return str(node.name)
        name = " ".join(node.names)
        if name == "void":
            return "None"
        if name in self.enums:
            return "c.c_int"
        return f"c.{SCALARS[name]}" if name in SCALARS else name

    def function_type(self, node: c_ast.FuncDecl) -> str:
        return f"c.CFUNCTYPE({', '.join([self.type_of(node.type), *self.arguments(node)])})"

    def arguments(self, node: c_ast.FuncDecl) -> list[str]:
        types = [self.type_of(parameter.type) for parameter in node.args.params] if node.args else []
        return [] if types == ["None"] else types

    def number(self, node: c_ast.Node) -> int:
        if isinstance(node, c_ast.Constant):
            return int(node.value, 0)
        if isinstance(node, c_ast.UnaryOp) and node.op == "-":
            return -self.number(node.expr)
        if isinstance(node, c_ast.BinaryOp) and node.op == "<<":
            return self.number(node.left) << self.number(node.right)
        raise ValueError(f"can't compute {node}")

    def enum(self, name: str, node: c_ast.Enum) -> None:
        value = 0
        self.enums.add(name)
        self.lines += ["", f"# {name}"]
        for item in node.values.enumerators:
            value = self.number(item.value) if item.value is not None else value
            self.lines.append(f"{item.name} = {value}")
            value += 1

    def aggregate(self, name: str, node: c_ast.Struct | c_ast.Union) -> None:
        base = "Union" if isinstance(node, c_ast.Union) else "Structure"
        fields = []
        for field in node.decls:
            inner = field.type.type if isinstance(field.type, c_ast.TypeDecl) else None
            if isinstance(inner, (c_ast.Struct, c_ast.Union)) and inner.decls and inner.name is None:
                self.aggregate(f"{name}_{field.name}", inner)
                fields.append(f'("{field.name}", {name}_{field.name})')
            else:
                fields.append(f'("{field.name}", {self.type_of(field.type)})')
        self.known.add(name)
        self.lines += ["", "", f"class {name}(c.{base}):", "    _fields_ = ["]
        self.lines += [f"        {field}," for field in fields] + ["    ]"]

    def visit(self, node: c_ast.Node) -> None:
        if isinstance(node, c_ast.Typedef):
            inner = node.type.type if isinstance(node.type, c_ast.TypeDecl) else node.type
            if isinstance(inner, c_ast.Enum):
                self.enum(node.name, inner)
            elif isinstance(inner, (c_ast.Struct, c_ast.Union)) and inner.decls:
                self.aggregate(node.name, inner)
                if inner.name and inner.name != node.name:
                    self.lines += ["", "", f"{inner.name} = {node.name}"]
            elif isinstance(inner, (c_ast.PtrDecl, c_ast.FuncDecl)):
                self.lines += ["", "", f"{node.name} = {self.type_of(inner)}"]
                self.known.add(node.name)
        elif isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl):
            result = self.type_of(node.type.type)
            arguments = ", ".join(self.arguments(node.type))
            self.functions.append(f'    "{node.name}": ({result}, [{arguments}]),')
        elif isinstance(node, c_ast.Decl) and isinstance(node.type, (c_ast.Struct, c_ast.Union)) and node.type.decls:
            self.aggregate(node.type.name, node.type)
        elif isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.Enum):
            self.enum(node.type.name or "", node.type)


def macros() -> list[str]:
    """Numbers that the headers define."""
    found = []
    for line in (INCLUDE / "pccl" / "pccl.h").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if len(words) >= 3 and words[0] == "#define" and words[1].startswith("PCCL_") and words[2].isdigit():
            found.append(f"{words[1]} = {words[2]}")
    return found


def module() -> str:
    writer = Writer()
    text = "\n".join(line for line in preprocess().splitlines() if not line.startswith("#"))
    for node in c_parser.CParser().parse(text).ext:
        writer.visit(node)
    head = ['"""The C interface for ctypes. Made by generate.py from include/pccl; do not edit."""', "",
            "# ruff: noqa", "# mypy: ignore-errors", "", "import ctypes as c", "", *macros()]
    functions = ["", "", "FUNCTIONS = {", *writer.functions, "}", ""]
    return "\n".join(head + writer.lines + functions)


def main() -> int:
    made = module()
    if sys.argv[1:] == ["--check"]:
        if OUTPUT.read_text(encoding="utf-8") != made:
            print(f"{OUTPUT} is not what the headers give: run {pathlib.Path(__file__).name}")
            return 1
        return 0
    OUTPUT.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
