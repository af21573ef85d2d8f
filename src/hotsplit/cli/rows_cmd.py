"""`hotsplit rows`: the live rows of one table as JSON lines or CSV."""

from __future__ import annotations

import contextlib
import itertools
import json as jsonlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import click

from hotsplit.cli.output import Output
from hotsplit.cli.tables_cmd import dirty_notice
from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import Env, File, OsEnv
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.export import FORMATS, Format, RowWriter
from hotsplit.ese.read.table import Table

_LINES_A_WRITE = 500


class _Text(Protocol):
    def write(self, text: str, /) -> object:
        """Append text."""


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
            _print_object(summary, (writer.line(row) for row in rows), db)
            return
        lines = (writer.line(row) for row in rows)
        head = [writer.head()] if form == "csv" else []
        if output is None:
            count = _write_lines(sys.stdout, head, lines)
        else:
            count = _write_file(env, output, head, lines)
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


def _print_object(summary: dict[str, Any], lines: Iterator[str], db: Database) -> None:
    """Print one JSON object row by row: memory stays bounded however many rows there are.

    An error in the middle still ends in one valid object: it stands beside the rows so far.
    """
    write = sys.stdout.write
    write(jsonlib.dumps(summary, ensure_ascii=False)[:-1] + ', "rows": [')
    failed: HotsplitError | None = None
    try:
        for number, line in enumerate(lines):
            write((",\n" if number else "\n") + line)
    except HotsplitError as error:
        failed = error
    tail: dict[str, Any] = {"findings": _findings(db)}
    if failed is not None:
        tail["error"] = failed.as_json()
    write("\n], " + jsonlib.dumps(tail, ensure_ascii=False)[1:] + "\n")
    if failed is not None:
        sys.exit(failed.exit_status)


def _write_lines(file: _Text, head: Sequence[str], lines: Iterator[str]) -> int:
    """Write lines in large pieces; return how many there were, the head not counted."""
    if head:
        file.write("\n".join(head) + "\n")
    count = 0
    while True:
        batch = list(itertools.islice(lines, _LINES_A_WRITE))
        if not batch:
            return count
        count += len(batch)
        file.write("\n".join(batch) + "\n")


def _write_file(env: Env, path: str, head: Sequence[str], lines: Iterator[str]) -> int:
    """Write to a temporary file beside `path` and rename it when it is complete."""
    unfinished = f"{path}.{env.random(4).hex()}.part"
    file = env.open(unfinished, "create")
    try:
        sink = _Sink(file)
        count = _write_lines(sink, head, lines)
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


class _Sink:
    """Text to an `Env` file, one write after the other."""

    def __init__(self, file: File) -> None:
        self._file, self._end = file, 0

    def write(self, text: str, /) -> None:
        """Append UTF-8."""
        data = text.encode()
        self._file.pwrite(data, self._end)
        self._end += len(data)
