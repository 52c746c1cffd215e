"""The rules that hold the house up (docs/architecture.md), beside the import contracts and the size check of `make check`."""

import ast
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "fleetsight"
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY_OF_TRAINING = ("torch", "onnx", "tensorboard", "transformers", "nncf", "safetensors", "torch_neuronx")
TORCH_LEAVES = (
    "accel/measure/baselines.py",
    "accel/parts/",
    "accel/sources/",
    "accel/targets/neuron.py",
    "accel/targets/quantise.py",
    "accel/targets/torch.py",
    "train/",
)
ENVIRONMENT_READERS = {"settings.py"}


def relative(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def imported_names(module: Path) -> set[str]:
    """Every top-level package that a module imports, wherever the import stands."""
    names = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def in_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_module_says_what_it_is() -> None:
    assert [relative(module) for module in MODULES if not ast.get_docstring(tree_of(module))] == []


def test_package_files_hold_a_docstring_and_nothing_else() -> None:
    files = [module for module in MODULES if module.name == "__init__.py"]
    assert [relative(module) for module in files if len(tree_of(module).body) != 1] == []


def test_every_package_has_its_docstring_file() -> None:
    assert {relative(m.parent) for m in MODULES if not (m.parent / "__init__.py").is_file()} == set()


def test_torch_is_imported_in_train_and_in_the_named_leaves_of_accel_alone() -> None:
    found = {relative(m) for m in MODULES if imported_names(m) & set(HEAVY_OF_TRAINING)}
    assert {name for name in found if not name.startswith(TORCH_LEAVES)} == set()


def test_the_environment_is_read_in_settings_alone() -> None:
    def reads_environment(module: Path) -> bool:
        return any(
            isinstance(node, ast.Attribute)
            and node.attr in ("environ", "getenv", "putenv")
            and ast.unparse(node.value) == "os"
            for node in ast.walk(tree_of(module))
        )

    assert {relative(m) for m in MODULES if reads_environment(m)} - ENVIRONMENT_READERS == set()


def test_settling_a_clip_leaves_torch_out_of_the_process() -> None:
    serving = [
        ".".join(("fleetsight", *m.relative_to(SOURCE).with_suffix("").parts))
        for folder in ("accel", "apps", "catalog", "serve", "video", "vision")
        for m in (SOURCE / folder).rglob("*.py")
        if m.name != "__init__.py" and not relative(m).startswith(TORCH_LEAVES)
    ]
    code = f"""
import importlib, sys
for name in {serving}:
    importlib.import_module(name)
print([name for name in {HEAVY_OF_TRAINING} if name in sys.modules])
"""
    assert serving
    assert in_new_process(code) == "[]"


def test_nothing_happens_on_import_but_definitions() -> None:
    """A module that opens files or starts threads when it is imported would make every command slow and every test flaky."""
    allowed = (
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Import,
        ast.ImportFrom,
        ast.Assign,
        ast.AnnAssign,
        ast.If,
    )

    def acts(node: ast.stmt) -> bool:
        if isinstance(node, ast.Expr):
            is_text = isinstance(node.value, ast.Constant)
            return not is_text and not ast.unparse(node).startswith("app.add_typer(")
        return not isinstance(node, allowed)

    found = [f"{relative(m)}:{node.lineno}" for m in MODULES for node in tree_of(m).body if acts(node)]
    assert found == []


def test_errors_are_ours_and_carry_a_code() -> None:
    code = """
import importlib, pkgutil, fleetsight
from fleetsight.errors import Error
for found in pkgutil.walk_packages(fleetsight.__path__, "fleetsight."):
    if not found.name.startswith(("fleetsight.train", "fleetsight.__main__")):
        importlib.import_module(found.name)
def below(kind):
    for child in kind.__subclasses__():
        yield child
        yield from below(child)
print([kind.__qualname__ for kind in below(Error) if kind.code == Error.code])
"""
    assert in_new_process(code) == "[]"
