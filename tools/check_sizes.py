"""Fail when a file, a function or a parameter list has grown too large to be read in one sitting.

The limits and their reason stand in CONTRIBUTING.md. Usage: ``python tools/check_sizes.py FOLDER...``
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES = 600
FUNCTION_LINES = 70
PARAMETERS = 5
POSITIONAL_PARAMETERS = 2
PACKAGE_MODULES = 15  # about ten is the aim
SHIPPED_MODEL_BYTES = 4_000_000
NAMELESS = frozenset(
    {"utils", "util", "helpers", "helper", "common", "misc", "core", "base", "types", "const", "manager"}
)

ALLOWED = {  # what may pass the limit on parameters, and why
    "write_clip": "each is one property of the file; callers name them",
    "draw_product": "what, where, seen by whom, onto what: a dataclass would be made for one call",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def faults(path: Path) -> Iterator[str]:
    """Find what is too large in one module, and a name that says nothing."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > MODULE_LINES:
        yield f"{path}: {lines} lines, at most {MODULE_LINES}: split it by noun"
    if {path.stem, path.parent.name} & NAMELESS:
        yield f"{path}: a name that says nothing: move each function to the module of its noun"
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield f"{path}:{error.lineno}: {error.msg}"
        return
    for node in ast.walk(tree):
        if isinstance(node, Function):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{path}:{node.lineno} {node.name}: {length} lines, at most {FUNCTION_LINES}"
    if "cli" not in path.parts and "tests" not in path.parts:  # there parameters are options and fixtures
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        for node in [*tree.body, *(part for owner in classes for part in owner.body)]:
            if isinstance(node, Function):
                yield from parameter_faults(path, node)


def parameter_faults(path: Path, node: Function) -> Iterator[str]:
    """Find too many parameters of a function or method."""
    where = f"{path}:{node.lineno} {node.name}"
    positional = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
    count = len(positional) + len(node.args.kwonlyargs)
    if count > PARAMETERS and node.name not in ALLOWED:
        yield f"{where}: {count} parameters, at most {PARAMETERS}: a dataclass is missing"
    if len(positional) > POSITIONAL_PARAMETERS and not node.name.startswith("_"):
        yield f"{where}: {len(positional)} positional parameters, keyword-only after the second"


def package_faults(folders: list[Path]) -> Iterator[str]:
    """Find packages of too many modules and shipped weights that are too large."""
    packages = {init.parent for folder in folders for init in folder.rglob("__init__.py")}
    for package in sorted(packages):
        count = sum(1 for module in package.glob("*.py") if module.name != "__init__.py")
        if count > PACKAGE_MODULES:
            yield f"{package}: {count} modules, at most {PACKAGE_MODULES}: a sub-package is missing"
    for weights in sorted(file for folder in folders for file in folder.rglob("*.onnx")):
        size = weights.stat().st_size
        if size > SHIPPED_MODEL_BYTES:
            yield f"{weights}: {size} bytes, at most {SHIPPED_MODEL_BYTES}"


def main(arguments: list[str]) -> int:
    """Print each fault; the exit code says whether there was one."""
    folders = [Path(argument) for argument in arguments]
    modules = sorted(module for folder in folders for module in folder.rglob("*.py"))
    if not modules:
        print(f"no Python files in {arguments}", file=sys.stderr)
        return 2
    found = [fault for module in modules for fault in faults(module)] + list(package_faults(folders))
    for fault in found:
        print(fault)
    print(f"sizes: {len(modules)} modules, {len(found)} faults", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
