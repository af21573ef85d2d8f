"""`hotsplit rows`: the live rows of one table as JSON lines or CSV."""

from __future__ import annotations

import contextlib
import itertools
import json as jsonlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from hotsplit.cli.output import Output
from hotsplit.cli.tables_cmd import dirty_notice
from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import Env, OsEnv
from hotsplit.ese.format.columns import Value
from hotsplit.ese.read.database import Database
from hotsplit.ese.export.text import FORMATS, Format, RowWriter
from hotsplit.ese.read.table import Table

_ROWS_A_WRITE = 500
_Write = Callable[[bytes], object]


@click.command("rows")
@click.argument("database", metavar="DB", type=click.Path())
@click.argument("table")
@click.option("--format", "form", type=click.Choice(FORMATS), default="jsonl", show_default=True)
@click.option("--columns", metavar="A,B", help="Only these columns, in this order.")
@click.option("-o", "--output", type=click.Path(), help="Write to this file, replacing it.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows.")
@click.option("--json", "json", is_flag=True, help="Print one JSON object; rows too unless -o.")
def command(
    database: str,
    table: str,
    form: Format,
    columns: str | None,
    output: str | None,
    limit: int | None,
    json: bool,
) -> None:
    """Print the live rows of a table with exact values.

    NULL is null (CSV: empty), binary values are hex digits, GUIDs and times are text, several
    values are arrays, Currency is the stored integer. Damaged values are null, with a notice.
    """
    out, env = Output(json=json), OsEnv()
    with Database.open(env, database) as db:
        dirty_notice(db, out)
        chosen = db.table(table)
        names = None if columns is None else [chosen.column(n).name for n in columns.split(",")]
        rows = itertools.islice(chosen.values(names), limit)
        selected = chosen.columns if names is None else [chosen.column(name) for name in names]
        writer = RowWriter(selected, "jsonl" if json and output is None else form)
        summary = {
            "database": database,
            "state": db.state,
            "dirty": db.is_dirty,
            "table": chosen.name,
            "columns": [c.name for c in selected],
        }
        if json and output is None:
            _print_object(summary, writer, rows, db)
            return
        if output is None:
            count = _write_rows(sys.stdout.buffer.write, writer, rows)
            sys.stdout.buffer.flush()
        else:
            count = _write_file(env, output, writer, rows)
        out.emit({**summary, "rows": count, "file": output, "findings": _findings(db)})
        if not json:
            _note_findings(db, chosen, out)


def _findings(db: Database) -> list[dict[str, Any]]:
    return [finding.as_json() for finding in db.reporter.findings]


def _note_findings(db: Database, table: Table, out: Output) -> None:
    shown = db.reporter.findings[:20]
    for finding in shown:
        out.note(f"{finding.message} ({finding.position})")
    more = sum(db.reporter.counts.values()) - len(shown)
    if more > 0:
        out.note(f"{table.name}: {more} more findings; --json with -o lists them.")


def _print_object(
    summary: dict[str, Any], writer: RowWriter, rows: Iterator[list[Value]], db: Database
) -> None:
    """Print one JSON object piece by piece: memory stays bounded however many rows there are.

    An error in the middle still ends in one valid object: it stands beside the rows so far.
    """
    out = sys.stdout.buffer
    head = jsonlib.dumps(summary, ensure_ascii=False)[:-1] + ', "rows": [\n'
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
    out.write(("\n], " + jsonlib.dumps(tail, ensure_ascii=False)[1:] + "\n").encode())
    out.flush()
    if failed is not None:
        sys.exit(failed.exit_status)


def _batches(rows: Iterator[list[Value]]) -> Iterator[list[list[Value]]]:
    while batch := list(itertools.islice(rows, _ROWS_A_WRITE)):
        yield batch


def _write_rows(write: _Write, writer: RowWriter, rows: Iterator[list[Value]]) -> int:
    """Write all rows; return how many there were."""
    write(writer.head())
    count = 0
    for batch in _batches(rows):
        count += len(batch)
        write(writer.encode(batch) + b"\n")
    return count


def _write_file(env: Env, path: str, writer: RowWriter, rows: Iterator[list[Value]]) -> int:
    """Write to a temporary file beside `path` and rename it when it is complete."""
    unfinished = f"{path}.{env.random(4).hex()}.part"
    file = env.open(unfinished, "create")
    end = 0

    def append(data: bytes) -> None:
        nonlocal end
        file.pwrite(data, end)
        end += len(data)

    try:
        count = _write_rows(append, writer, rows)
        file.sync()
        file.close()
        env.rename(unfinished, path)
        env.sync_dir(os.path.dirname(path))  # noqa: PTH120 - paths are plain strings
    except BaseException:
        with contextlib.suppress(HotsplitError):
            file.close()
            env.remove(unfinished)
        raise
    return count
