"""Write the next revisions of the database's shape from the tables in the source; with ``--check`` fail when some are missing.

``python tools/make_migration.py "what changed"`` brings an empty SQLite to the newest revision, compares it with the tables that
all packages declare, and writes one revision for each package that differs. Read what it wrote: a renamed column is seen as
a dropped and an added one. ``--check --database postgresql://...`` compares with an empty database of that kind.
"""

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import api
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

from fleetsight.store.append_only import protected
from fleetsight.store.rows import METADATA, MIGRATIONS, Rows, upgrade

SOURCE = Path(__file__).resolve().parents[1] / "src"
VERSIONS = MIGRATIONS / "versions"
FLOORS = ("store", "billing", "apps", "fleet", "web")  # a package's tables may refer to those of the floors before it
HEAD = '''"""{message} ({package})."""

{imports}

revision = "{revision}"
down_revision = {before}


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
{calls}
'''


def tables_by_package() -> dict[str, list[str]]:
    """Import every module that declares tables on `METADATA`, and say which package owns which."""
    owned = {}
    for package in FLOORS:
        before = set(METADATA.tables)
        for module in sorted((SOURCE / "fleetsight" / package).rglob("*.py")):
            text = module.read_text(encoding="utf-8")
            if "METADATA" in text and "sa.Table(" in text:
                importlib.import_module(".".join(module.relative_to(SOURCE).with_suffix("").parts))
        owned[package] = sorted(set(METADATA.tables) - before)
    return owned


def differences(connection: sa.Connection) -> list[Any]:
    """The operations that lead from the database to the tables, those on one table together."""
    script = api.produce_migrations(_context(connection), METADATA)
    return list(script.upgrade_ops.ops) if script.upgrade_ops else []


def unprotected(connection: sa.Connection) -> set[str]:
    """Append-only tables that the database would let change."""
    wanted = {table.name for table in METADATA.tables.values() if table.info.get("append_only")}
    return wanted - protected(connection)


def _context(connection: sa.Connection) -> MigrationContext:
    return MigrationContext.configure(
        connection, opts={"target_metadata": METADATA, "compare_type": True, "render_as_batch": True}
    )


def _table_of(operation: Any) -> str:
    return str(operation.table_name)


def render(connection: sa.Connection, operations: list[Any]) -> tuple[list[str], list[str]]:
    """Write operations as functions: one for each table, another for its indexes or its changes.

    Returns:
        the calls of the functions, and the functions.
    """
    calls, functions = [], []
    missing = unprotected(connection)
    for operation in operations:
        table, makes = _table_of(operation), isinstance(operation, ops.CreateTableOp)
        body = api.render_python_code(
            ops.UpgradeOps(ops=[operation]), render_as_batch=True, migration_context=_context(connection)
        )
        body = body.replace(
            "postgresql.JSONB(astext_type=Text())", "postgresql.JSONB()"
        )  # Alembic forgets to import Text
        body = re.sub(r",\s*info=\{[^}]*\}", "", body)
        body = "\n".join(line for line in body.splitlines() if not line.strip().startswith("# ###"))
        if makes and table in missing:
            body += f'\n    protect(op.get_bind(), "{table}")'
        name = f"_{table}" if makes else f"_change_{table}"
        calls.append(f"    {name}()")
        functions.append(f"def {name}() -> None:\n    {body.strip()}\n")
    return calls, functions


def write(connection: sa.Connection, message: str, *, owned: dict[str, list[str]]) -> Iterator[Path]:
    """Write a revision for each package whose tables differ."""
    found = differences(connection)
    written = sorted(VERSIONS.glob("revision_*.py"))
    number = int(written[-1].stem.split("_")[1]) if written else 0
    for package, tables in owned.items():
        calls, functions = render(connection, [operation for operation in found if _table_of(operation) in tables])
        if not calls:
            continue
        number += 1
        code = "\n\n".join(functions)
        imports = ["import sqlalchemy as sa", "from alembic import op"]
        imports += ["from sqlalchemy.dialects import postgresql"] if "postgresql." in code else []
        imports += ["from fleetsight.store.append_only import protect"] if "protect(" in code else []
        path = VERSIONS / f"revision_{number:04d}_{package}_{re.sub('[^a-z0-9]+', '_', message.lower()).strip('_')}.py"
        text = HEAD.format(
            message=message,
            package=package,
            imports="\n".join(imports),
            revision=f"{number:04d}",
            before=f'"{number - 1:04d}"' if number > 1 else "None",
            calls="\n".join(calls),
        )
        path.write_text(text + "\n\n" + code, encoding="utf-8")
        yield path


def check(connection: sa.Connection) -> list[str]:
    """Say what the revisions lack."""
    faults = [
        f"{_table_of(operation)}: the revisions lack {type(operation).__name__}"
        for operation in differences(connection)
    ]
    return faults + [f"{table}: nothing protects its rows" for table in sorted(unprotected(connection))]


def main(arguments: list[str]) -> int:
    """Write or check; the exit code says whether the check found something."""
    parser = argparse.ArgumentParser(description="revisions of the database's shape")
    parser.add_argument("message", nargs="?", help="what changed, in a few words")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a revision is missing")
    parser.add_argument("--database", help="compare with this empty database instead of a new SQLite")
    options = parser.parse_args(arguments)
    if bool(options.message) == options.check:
        parser.error("give what changed, or --check")
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Rows.open(options.database or f"sqlite:///{folder}/rows.db")) as rows,
    ):
        upgrade(rows)  # before the other packages are imported: it must need none of them
        owned = tables_by_package()
        with rows.reading() as connection:
            if options.check:
                faults = check(connection)
                print("\n".join([*faults, f"migrations: {len(faults)} faults"]), file=sys.stderr)
                return 1 if faults else 0
            paths = list(write(connection, options.message, owned=owned))
    for path in paths:
        for command in (["check", "--fix", "--quiet"], ["format", "--quiet"]):
            subprocess.run([sys.executable, "-m", "ruff", *command, str(path)], check=True)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
