"""`hotsplit rows`: the rows of one table as JSON lines or CSV."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from hotsplit.cli.opening import (
    column_names,
    include_option,
    opener,
    profile_option,
    replay_options,
)
from hotsplit.cli.output import Output
from hotsplit.cli.tables_cmd import dirty_notice
from hotsplit.errors import HotsplitError, ObjectNotFound
from hotsplit.ese.export.files import replaced
from hotsplit.ese.export.profiles import Profile
from hotsplit.ese.export.text import FORMATS, Format, RowWriter
from hotsplit.ese.export.titles import named_table, profile_of
from hotsplit.ese.export.view import View, make_view
from hotsplit.ese.files.env import Env, OsEnv
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import State
from hotsplit.ese.read.table import Table
from hotsplit.report import json_text

_ROWS_A_WRITE = 500
_Rows = Iterator[list[Any]]


@click.command("rows")
@click.argument("database", metavar="DB", type=click.Path())
@click.argument("table", metavar="TABLE")
@click.option("--format", "form", type=click.Choice(FORMATS), default="jsonl", show_default=True)
@click.option("--columns", metavar="A,B", help="Only these columns, in this order.")
@click.option("--where", multiple=True, metavar="COND", help='E.g. "AppId = 12"; see the manual.')
@click.option("--index", metavar="NAME", help="In the order of this index.")
@click.option(
    "--seek",
    multiple=True,
    metavar="VALUE",
    help="Only rows with this first value in the index; again for its second column, and so on.",
)
@click.option("--reverse", is_flag=True, help="From the end.")
@include_option
@replay_options
@profile_option("none")
@click.option(
    "-o",
    "--output",
    type=click.Path(allow_dash=True),
    help="Write to this file, replacing it; - is stdout.",
)
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows.")
@click.option("--json", "json", is_flag=True, help="Print one JSON object; rows too unless -o.")
def command(
    database: str,
    table: str,
    form: Format,
    columns: str | None,
    where: tuple[str, ...],
    index: str | None,
    seek: tuple[str, ...],
    reverse: bool,
    include: tuple[State, ...],
    replay: bool,
    logs: tuple[str, ...],
    profile: str,
    output: str | None,
    limit: int | None,
    json: bool,
) -> None:
    """Print the rows of a table with exact values.

    TABLE is its name in the database, or its title in the profile that fits it; `hotsplit tables`
    lists both.

    NULL is null (CSV: empty), binary values are hex digits, GUIDs and times are text, several
    values are arrays, Currency is the stored integer. Damaged values are null, with a notice.
    Only live rows are printed unless --include names others, which are labelled. With --index or
    --reverse those come after the live ones.
    """
    out, env = Output(json=json), OsEnv()
    output = None if output == "-" else output
    opens = opener(env, database, replay=replay, logs=logs)
    with opens() as db, _pointing_at_profile(env, db, profile):
        dirty_notice(db, out)
        names = None if columns is None else column_names(columns)
        chosen = profile_of(env, profile, db)
        named = _find_table(env, db, table, chosen)
        view = make_view(db, named, chosen, columns=names, include=include)
        found = view.rows(where=where, index=index, seek=seek, reverse=reverse)
        rows = itertools.islice(found, limit)
        shape: Format = "jsonl" if json and output is None else form
        writer = RowWriter([field.column for field in view.fields], shape, view.names)
        summary = {
            "database": database,
            "state": db.state,
            "dirty": db.is_dirty,
            "table": view.table.name,
            "columns": view.names,
        }
        if json and output is None:
            _print_object(summary, writer, rows, db)
            return
        count = _write(env, output, writer, rows)
        out.emit({**summary, "rows": count, "file": output, "findings": _findings(db)})
        if not json:
            _note_findings(db, view, out)


@contextlib.contextmanager
def _pointing_at_profile(env: Env, db: Database, profile: str) -> Iterator[None]:
    """Say that a name that is not there may be one that a profile gives, where none was wanted."""
    try:
        yield
    except ObjectNotFound as error:
        wanted = profile == "none" and "column" in error.message
        fitting = profile_of(env, "auto", db) if wanted else None
        if fitting is not None:
            error.hint += f" Names and values of the profile need --profile {fitting.name}."
        raise


def _find_table(env: Env, db: Database, name: str, profile: Profile | None) -> Table:
    """Return a table by its name or by the title that the profile gives, the fitting one if none.

    Profiles are read only if no table has the name.
    """
    if profile is None and name.casefold() not in map(str.casefold, db.tables(system=True)):
        profile = profile_of(env, "auto", db)
    return named_table(db, name, profile)


def _findings(db: Database) -> list[dict[str, Any]]:
    return [finding.as_json() for finding in db.reporter.findings]


def _note_findings(db: Database, view: View, out: Output) -> None:
    shown = db.reporter.findings[:20]
    for finding in shown:
        out.finding(finding.message, finding.position)
    more = sum(db.reporter.counts.values()) - len(shown)
    if more > 0:
        out.note(f"{view.table.name}: {more} more findings; --json with -o lists them.")


def _print_object(summary: dict[str, Any], writer: RowWriter, rows: _Rows, db: Database) -> None:
    """Print one JSON object piece by piece: memory stays bounded however many rows there are.

    An error in the middle still ends in one valid object: it stands beside the rows so far.
    """
    out = sys.stdout.buffer
    head = json_text(summary)[:-1] + ', "rows": [\n'
    out.write(head.encode())
    failed: HotsplitError | None = None
    between = b""
    try:
        for batch in _batches(rows):
            out.write(between + writer.encode(batch, b",\n"))
            between = b",\n"
    except HotsplitError as error:
        failed = error
    tail: dict[str, Any] = {"findings": _findings(db)}
    if failed is not None:
        tail["error"] = failed.as_json()
    out.write(("\n], " + json_text(tail)[1:] + "\n").encode())
    out.flush()
    if failed is not None:
        sys.exit(failed.exit_status)


def _batches(rows: _Rows) -> Iterator[list[list[Any]]]:
    while batch := list(itertools.islice(rows, _ROWS_A_WRITE)):
        yield batch


def _write(env: Env, path: str | None, writer: RowWriter, rows: _Rows) -> int:
    """Write all rows to a file, which is there when it is complete, or to stdout."""
    if path is None:
        count = _write_rows(sys.stdout.buffer.write, writer, rows)
        sys.stdout.buffer.flush()
        return count
    with replaced(env, path) as file:
        return _write_rows(file.write, writer, rows)


def _write_rows(write: Callable[[bytes], object], writer: RowWriter, rows: _Rows) -> int:
    """Write all rows; return how many there were."""
    write(writer.head())
    count = 0
    for batch in _batches(rows):
        count += len(batch)
        write(writer.encode(batch) + b"\n")
    return count
