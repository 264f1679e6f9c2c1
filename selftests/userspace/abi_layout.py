# SPDX-License-Identifier: GPL-2.0
"""Prints a program in C that prints the layout of all structs of headers, and all numbers:
abi_layout.py HEADER...

Its lines: "struct NAME BYTES", "field STRUCT FIELD OFFSET BYTES", "number NAME VALUE".
"""
import os
import re
import sys

lines = []
for header in sys.argv[1:]:
    with open(header, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
    # A macro without a value, or with arguments, is no number; nor is a text.
    for name, value in re.findall(r"^#define (\w+)[ \t]+(\S.*)$", text, re.MULTILINE):
        if not value.startswith('"'):
            lines.append(f'printf("number {name} %llu\\n", (unsigned long long)({name}));')
    for body in re.findall(r"^enum \w+ {(.*?)^};", text, re.DOTALL | re.MULTILINE):
        for name in re.findall(r"^\s*(\w+)", body, re.MULTILINE):
            lines.append(f'printf("number {name} %llu\\n", (unsigned long long){name});')
    for name, body in re.findall(r"^struct (\w+) {(.*?)^};", text, re.DOTALL | re.MULTILINE):
        lines.append(f'printf("struct {name} %zu\\n", sizeof(struct {name}));')
        for field in re.findall(r"(\w+)(?:\[[^;]*\])?;", body):
            # An array at the end has no size.
            size = f"sizeof(((struct {name} *)0)->{field})"
            if re.search(rf"\b{field}\[\];", body):
                size = "(size_t)0"
            lines.append(f'printf("field {name} {field} %zu %zu\\n", '
                         f"offsetof(struct {name}, {field}), {size});")
print("#include <stddef.h>\n#include <stdio.h>")
for header in sys.argv[1:]:
    print(f'#include "{os.path.abspath(header)}"')
print("int main(void)\n{")
print("\n".join(f"\t{line}" for line in lines))
print("\treturn 0;\n}")
