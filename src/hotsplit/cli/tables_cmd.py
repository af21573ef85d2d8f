"""`hotsplit tables`: what is in a database."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import click

from hotsplit.cli.opening import include_option, opener, profile_option, replay_options
from hotsplit.cli.output import Output
from hotsplit.errors import HotsplitError
from hotsplit.ese.export.profiles import Profile
from hotsplit.ese.export.titles import named_table, profile_of, titles
from hotsplit.ese.export.view import View, make_view
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.catalogschema import IndexDef
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import State
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
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--all", "system", is_flag=True, help="List the engine's own tables too.")
@click.option("--count", is_flag=True, help="Count the live rows of each table (reads them all).")
@include_option
@replay_options
@profile_option("auto")
@click.option("--json", "json", is_flag=True, help="Print one JSON object with all details.")
def command(
    database: str,
    tables: tuple[str, ...],
    system: bool,
    count: bool,
    include: tuple[State, ...],
    replay: bool,
    logs: tuple[str, ...],
    profile: str,
    json: bool,
) -> None:
    """List the tables of a database, or the columns and indexes of each TABLE.

    With a profile that fits the database, tables have titles, which may stand for their names. With
    --count and --include rows that are not live are counted too.
    """
    out, env = Output(json=json), OsEnv()
    with opener(env, database, replay=replay, logs=logs)() as db:
        dirty_notice(db, out)
        chosen = profile_of(env, profile, db)
        found = [named_table(db, name, chosen) for name in tables or db.tables(system=system)]
        counted = _Counted(tuple(map(str, (State.LIVE, *include)))) if count or include else None
        described = [_describe(table, chosen, counted) for table in found]
        if tables:
            for table, info in zip(found, described, strict=True):
                _show_columns(out, info, make_view(db, table, chosen))
        else:
            _show_list(out, described, counted)
        for finding in db.reporter.findings if not json else ():
            out.finding(finding.message, finding.position)
        out.emit(
            {
                "database": database,
                "state": db.state,
                "dirty": db.is_dirty,
                "profile": chosen.name if chosen else "none",
                "tables": described,
                "findings": [finding.as_json() for finding in db.reporter.findings],
            }
        )


class _Counted(NamedTuple):
    """The states in which rows are counted."""

    states: tuple[str, ...]

    def rows(self, table: Table) -> dict[str, int]:
        """Return the number of rows of each state. Raises HotsplitError."""
        if self.states == (State.LIVE,):
            return {State.LIVE: table.count()}
        include = [State(state) for state in self.states]
        found = Counter(str(row.origin.label.state) for row in table.labelled([], include=include))
        return {state: found[state] for state in self.states}


def _describe(table: Table, profile: Profile | None, counted: _Counted | None) -> dict[str, Any]:
    """Return all about one table; a count that cannot be had is None, with an error beside it."""
    info: dict[str, Any] = {
        "name": table.name,
        "title": titles([table.name], profile).get(table.name),
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
    if counted is None:
        return info
    try:
        rows = counted.rows(table)
        info["rows"] = rows[State.LIVE]
        info |= {f"{state}_rows": rows[state] for state in counted.states[1:]}
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


def _show_list(out: Output, tables: list[dict[str, Any]], counted: _Counted | None) -> None:
    titled = any(table["title"] for table in tables)
    states = counted.states if counted else ()
    head = ["Table", *["Title"][:titled], "Root", "Columns", "Indexes", "Long values"]
    counts = [f"{state.title()} rows" for state in states[1:]]
    out.table(
        [*head, *["Rows"][: len(states)], *counts],
        [_row(table, titled, states) for table in tables],
    )


def _row(table: dict[str, Any], titled: bool, states: tuple[str, ...]) -> list[object]:
    row: list[object] = [table["name"], *[table["title"] or ""][:titled]]
    row += [table["root"], len(table["columns"]), len(table["indexes"])]
    row.append("yes" if table["long_value_root"] else "no")
    if not states:
        return row
    if table["rows"] is None:
        return [*row, "damaged", *[""] * len(states[1:])]
    return [*row, table["rows"], *(table[f"{state}_rows"] for state in states[1:])]


def _show_columns(out: Output, table: dict[str, Any], view: View) -> None:
    """Show the columns of a table, what the profile makes of them, and its indexes."""
    title = f" ({table['title']})" if table["title"] else ""
    rows = f", {table['rows']} rows" if table.get("rows") is not None else ""
    out.line(f"{table['name']}{title}{rows}", bold=True)
    meanings = _meanings(view)
    columns = [[c["id"], c["name"], _type(c), meanings[c["name"]]] for c in table["columns"]]
    out.table(["Id", "Column", "Type", "Shown as"], columns)
    out.line()
    indexes = [[index["name"], " ".join(index["key"]), _kind(index)] for index in table["indexes"]]
    out.table(["Index", "Key", ""], indexes)
    out.line()


def _type(column: dict[str, Any]) -> str:
    size = f"({column['size']})" if column["size"] and "Text" in column["type"] + "Binary" else ""
    said = [f"code page {column['code_page']}"] if column["code_page"] else []
    said += [word for word in ("multi_valued", "inherited") if column[word]]
    return ", ".join([column["type"] + size, *(word.replace("_", "-") for word in said)])


def _meanings(view: View) -> dict[str, str]:
    """Say by column how it is shown with the profile; nothing if as it is stored."""
    said: dict[str, list[str]] = {}
    for field in view.fields:
        renamed = field.name if field.name != field.column.name else ""
        meaning = field.meaning.name if field.meaning and field.meaning.name != "lookup" else ""
        words = [word for word in (renamed, meaning, field.unit, field.note) if word]
        said.setdefault(field.column.name, []).extend(words)
    return {column: ", ".join(words) for column, words in said.items()}


def _kind(index: dict[str, Any]) -> str:
    return ", ".join(word for word in ("primary", "unique") if index[word])
