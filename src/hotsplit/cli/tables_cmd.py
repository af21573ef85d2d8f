"""`hotsplit tables`: what is in a database."""

from __future__ import annotations

from typing import Any

import click

from hotsplit.cli.opening import opener, replay_options
from hotsplit.cli.output import Output
from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.catalogschema import IndexDef
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table


def dirty_notice(db: Database, out: Output) -> None:
    """Say on stderr that a database was not shut down cleanly."""
    if db.is_dirty:
        out.note(
            f'{db.path}: the state is "{db.state}"; the database needs recovery. It is read '
            "as it lies: rows may be missing, old or not committed. See `hotsplit assess`."
        )


@click.command("tables")
@click.argument("database", metavar="DB", type=click.Path())
@click.option("--all", "system", is_flag=True, help="List the engine's own tables too.")
@click.option("--count", is_flag=True, help="Count the live rows of each table (reads them all).")
@replay_options
@click.option("--json", "json", is_flag=True, help="Print one JSON object with all details.")
def command(
    database: str, system: bool, count: bool, replay: bool, logs: tuple[str, ...], json: bool
) -> None:
    """List the tables of a database."""
    out = Output(json=json)
    with opener(OsEnv(), database, replay=replay, logs=logs)() as db:
        dirty_notice(db, out)
        tables = [_describe(db, name, count) for name in db.tables(system=system)]
        head = ["Table", "Root", "Columns", "Indexes", "Long values", *["Rows"][:count]]
        out.table(head, [_row(table, count) for table in tables])
        for finding in db.reporter.findings if not json else ():
            out.note(f"{finding.message} ({finding.position})")
        out.emit(
            {
                "database": database,
                "state": db.state,
                "dirty": db.is_dirty,
                "tables": tables,
                "findings": [finding.as_json() for finding in db.reporter.findings],
            }
        )


def _describe(db: Database, name: str, count: bool) -> dict[str, Any]:
    """Return all about one table; a count that cannot be had is None, with an error beside it."""
    table = db.table(name)
    info: dict[str, Any] = {
        "name": table.name,
        "objid": table.definition.objid,
        "root": table.definition.root,
        "system": table.definition.is_system,
        "template": table.definition.template or None,
        "columns": [
            {
                "name": c.name,
                "id": c.id,
                "type": c.type_name,
                "size": c.size,
                "code_page": c.code_page,
                "multi_valued": c.is_multi_valued,
                "inherited": c.derived,
            }
            for c in table.columns
        ],
        "indexes": [_index(table, index) for index in table.indexes],
        "long_value_root": table.definition.long_value_root or None,
    }
    if count:
        try:
            info["rows"] = table.count()
        except HotsplitError as error:
            info["rows"] = None
            info["error"] = error.as_json()
    return info


def _index(table: Table, index: IndexDef) -> dict[str, Any]:
    names = {(c.id, c.derived): c.name for c in table.columns}
    key = []
    for segment in index.key:
        inherited = bool(segment.flags & 0x80) and not table.definition.is_template
        name = names.get((segment.column_id, inherited), f"#{segment.column_id}")
        key.append(("-" if segment.is_descending else "+") + name)
    return {
        "name": index.name,
        "root": index.root,
        "primary": index.is_primary,
        "unique": index.is_unique,
        "key": key,
    }


def _row(table: dict[str, Any], count: bool) -> list[object]:
    row: list[object] = [
        table["name"],
        table["root"],
        len(table["columns"]),
        len(table["indexes"]),
        "yes" if table["long_value_root"] else "no",
    ]
    if count:
        rows = table["rows"]
        row.append("damaged" if rows is None else rows)
    return row
