"""``hotsplit check``: the integrity check of one database."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from hotsplit.cli.output import Output
from hotsplit.errors import DirtyDatabase, SourceChanged
from hotsplit.ese.check.integrity import CheckResult, check_database
from hotsplit.ese.check.rules import RULES
from hotsplit.ese.files.env import Env, OsEnv
from hotsplit.report import Finding, Reporter, Severity

DAMAGED = 4
"""Exit status beside 0 and those of the error classes."""

_SHOWN = 20
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_COUNTS = ("tables", "trees", "records", "long_values", "index_entries")
_DIRTY = (
    "The database was not shut down cleanly, so its pages may be of different times: what does not "
    "fit together is only a warning, counted below. Recover it (hotsplit recover), then check the "
    "result."
)


@click.command("check")
@click.argument("database", metavar="DB", type=click.Path())
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Keep at most this many findings of a rule; all are counted.",
)
@click.option("--json", "json", is_flag=True, help="Print one JSON object.")
def command(database: str, limit: int, json: bool) -> int:
    """Check a database against all rules: trees, space, catalog, records, long values, indexes.

    What eseutil /g does, reporting every finding and not the first. The file is only read. Errors
    are what the engine calls corruption; warnings do no harm to the data; notes are normal. The
    rules are listed in the documentation.

    \b
    Exit status:
      0   no errors
      4   errors
      30  no errors, but the database was not shut down cleanly: recover it first
    Another status means that the file could not be checked, or changed meanwhile.
    """
    out, env = Output(json=json), OsEnv()
    with out.progress("Checking", _size(env, database), unit="B") as progress:
        result = check_database(env, database, Reporter(limit=limit), progress.advance)
    if result.changed:
        message = "The file changed while it was read: what is found may not be true of it"
        raise SourceChanged(message, file=database)
    _print(out, result)
    out.emit(_as_json(result))
    return _status(result)


def _size(env: Env, path: str) -> int:
    file = env.open(path, "read")
    try:
        return file.size()
    finally:
        file.close()


def _status(result: CheckResult) -> int:
    if result.is_damaged:
        return DAMAGED
    return DirtyDatabase.exit_status if result.dirty else 0


def _verdict(result: CheckResult) -> str:
    return {0: "sound", DAMAGED: "damaged"}.get(_status(result), "dirty")


# For programs


def _as_json(result: CheckResult) -> dict[str, Any]:
    return {
        "file": result.path,
        "verdict": _verdict(result),
        "dirty": result.dirty,
        "page_size": result.page_size,
        "pages": result.pages,
        **{name: getattr(result.totals, name) for name in _COUNTS},
        "indexes_by_bookmark": result.totals.by_bookmark,
        "not_compared": result.totals.not_compared,
        "rules": [
            {"rule": rule, "title": RULES[rule].title, "findings": count}
            for rule, count in _by_rule(result)
        ],
        "findings": [finding.as_json() for finding in result.reporter.findings],
        "bytes": result.bytes,
        "seconds": round(result.seconds, 6),
        "mb_per_second": round(result.megabytes_per_second, 1),
        "error": None,
    }


def _by_rule(result: CheckResult) -> list[tuple[str, int]]:
    """Return the rules that are broken, in the order of the documentation, with their counts."""
    counts = result.reporter.counts
    return [(rule, counts[rule]) for rule in RULES if rule in counts]


# For people


def _print(out: Output, result: CheckResult) -> None:
    totals = result.totals
    out.line(
        f"{result.path}: {result.pages} pages of {result.page_size} bytes, {totals.tables} tables, "
        f"{totals.records} records, {totals.long_values} long values, {totals.index_entries} index "
        f"entries; {result.bytes / 1e6:.1f} MB read in {result.seconds:.2f} s"
    )
    if result.dirty:
        out.line(_DIRTY, fg="yellow")
    for text in _reservations(result):
        out.line(text)
    _print_findings(out, result)
    counted = _by_rule(result)
    if counted:
        out.line()
        severities = {finding.rule: finding.severity for finding in result.reporter.findings}
        rows = [(rule, severities[rule], RULES[rule].title, count) for rule, count in counted]
        out.table(("Rule", "Severity", "Title", "Findings"), rows)
    out.line()
    out.line(_sentence(result), bold=True)


def _reservations(result: CheckResult) -> list[str]:
    totals = result.totals
    texts = []
    if totals.by_bookmark:
        texts.append(
            f"Indexes whose entries were held against the rows by bookmark only: "
            f"{totals.by_bookmark} (Unicode text whose weights are not known, or not filled yet)"
        )
    if totals.not_compared:
        texts.append(
            f"Trees that were not held against the rows: {totals.not_compared} (a part of them or "
            "of the rows cannot be read)"
        )
    return texts


def _print_findings(out: Output, result: CheckResult) -> None:
    """Print the first findings of each rule; notes, and warnings of a dirty one, only count."""
    shown: Counter[str] = Counter()
    hidden = {Severity.NOTE, Severity.WARNING} if result.dirty else {Severity.NOTE}
    for finding in result.reporter.findings:
        if finding.severity in hidden:
            continue
        shown[finding.rule] += 1
        if shown[finding.rule] <= _SHOWN:
            out.line(_line(finding), fg=_COLOURS[finding.severity])
    for rule in shown:
        more = result.reporter.counts[rule] - _SHOWN
        if more > 0:
            out.line(f"{more} more findings of rule {rule}; see --json and --limit")


def _line(finding: Finding) -> str:
    jet = "" if finding.jet is None else f" - {finding.jet.title} ({int(finding.jet)})"
    place = f"{finding.position}: " if finding.position else ""
    return f"{finding.rule} {finding.severity}: {place}{finding.message}{jet}"


def _sentence(result: CheckResult) -> str:
    if result.is_damaged:
        return "Damaged."
    if result.dirty:
        return "Not shut down cleanly; no damage was found in what lies there."
    warned = result.reporter.worst() == Severity.WARNING
    return "Sound; see the warnings." if warned else "Sound."
