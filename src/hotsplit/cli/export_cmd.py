"""`hotsplit export`: a whole database, or some tables, as Parquet, Arrow, CSV, JSONL or SQLite."""

from __future__ import annotations

import os
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
from hotsplit.ese.export.job import Job, Report
from hotsplit.ese.export.manifest import Plan, Result
from hotsplit.ese.export.writers import FORMATS, Format
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.labels import State

NOT_ALL = 4
"""Exit status when a table could not be exported."""


@click.command("export")
@click.argument("database", metavar="DB", type=click.Path())
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),
    help="A folder, or a file for SQLite or one table.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by the suffix of -o.")
@click.option("--columns", metavar="A,B", help="Only these columns, of one table.")
@click.option(
    "--columns-per-file",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tables of more columns become several files (Parquet, Arrow). Parquet: 4096.",
)
@include_option
@replay_options
@profile_option("auto")
@click.option("--all", "system", is_flag=True, help="The engine's own tables too.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Processes; default: all cores.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
@click.option("--json", "json", is_flag=True, help="Print one JSON object.")
def command(
    database: str,
    tables: tuple[str, ...],
    output: str,
    form: Format | None,
    columns: str | None,
    columns_per_file: int | None,
    include: tuple[State, ...],
    replay: bool,
    logs: tuple[str, ...],
    profile: str,
    system: bool,
    jobs: int | None,
    overwrite: bool,
    json: bool,
) -> int:
    """Write tables of a database to files that other programs read.

    Every table becomes one file in the folder of -o; export.json there says what is in them. With
    SQLite all tables become one file. An export that was broken off goes on where it was when the
    same command is given again. A file has its name only when it is complete.

    \b
    Exit status:
      0  everything was exported
      4  a table could not be exported; the others were
    """
    out, env = Output(json=json), OsEnv()
    if output == "-":
        raise click.UsageError("An export is a file or a folder: `hotsplit rows` writes to stdout.")
    chosen = form or _by_suffix(output)
    named = tuple(column_names(columns)) if columns else ()
    plan = Plan(chosen, tables, named, include, profile, system, columns_per_file or 0)
    opens = opener(env, database, replay=replay, logs=logs)
    with opens() as db:
        dirty_notice(db, out)
        job = Job(env, db, output, plan, opener=opens)
        with out.progress("Exporting", job.pages) as progress:
            report = job.run(jobs or os.cpu_count() or 1, progress.advance, overwrite=overwrite)
    _print(out, report)
    out.emit({"database": database, "format": chosen, **_summary(report)})
    return NOT_ALL if report.failed else 0


def _by_suffix(output: str) -> Format:
    suffix = output.rpartition(".")[2].lower()
    known: dict[str, Format] = {form: form for form in FORMATS}
    known |= {"db": "sqlite", "feather": "arrow", "ipc": "arrow"}
    if suffix not in known:
        raise click.UsageError("Which format? Give --format, or -o with a suffix that says it.")
    return known[suffix]


def _summary(report: Report) -> dict[str, Any]:
    return {
        "target": report.target,
        "profile": report.profile,
        "tables": [vars(result) for result in report.results],
        "findings": report.findings,
        "rows": sum(result.rows for result in report.results),
    }


def _file(result: Result) -> str:
    if result.error or result.kept:
        return "failed" if result.error else "kept"
    return f"{result.files[0]} to {result.files[-1]}" if result.files else result.file


def _print(out: Output, report: Report) -> None:
    rows = [[r.title, r.rows, _file(r), r.finding_count] for r in report.results]
    out.table(["Table", "Rows", "File", "Findings"], rows)
    for finding in report.findings[:3] if not out.json else ():
        out.finding(finding["message"], finding["position"])
    for result in report.results:
        if result.error is not None:
            error = result.error
            place = ", ".join(filter(None, (error["name"], error["position"])))
            out.finding(f"{result.title}: {error['message']}", place)
        for finding in result.findings[:3] if not out.json else ():
            out.finding(finding["message"], finding["position"])
    total = sum(result.rows for result in report.results)
    profile = f", profile {report.profile}" if report.profile != "none" else ""
    out.line(f"{total} rows of {len(report.results)} tables in {report.target}{profile}")
