"""``eseutil /g``: all rules of a sound database. Source: format specification 13."""

from __future__ import annotations

from hotsplit.classic.checksum import file_size
from hotsplit.classic.console import Console, Ruler
from hotsplit.classic.switches import Arguments, Takes
from hotsplit.errors import DataDamaged, DirtyDatabase, HeaderDamaged
from hotsplit.ese.check.fileheader import is_clean
from hotsplit.ese.check.integrity import CheckResult, check_database
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.report import Finding, Reporter, Severity

SWITCHES = {
    "t": Takes.PATH,
    "f": Takes.PATH,
    "n": Takes.NOTHING,
    "b": Takes.NOTHING,
    "e": Takes.MAYBE,
}
_TITLE = "Scanning Status (% complete)"
_NOT_UP_TO_DATE = (
    "",
    "The database is not up-to-date. This operation may find that",
    "this database is corrupt because data from the log files has",
    "yet to be placed in the database.",
    "",
    "To ensure the database is up-to-date please use the 'Recovery' operation.",
    "",
)


def run(console: Console, env: Env, arguments: Arguments) -> None:
    """Check a database. Raises DataDamaged (-1206), DirtyDatabase (-550), HotsplitError."""
    path = arguments.only("source database")
    console.line("Initiating INTEGRITY mode...")
    console.line(f"        Database: {path}")
    try:
        with DatabaseFile.open(env, path) as file:
            clean = is_clean(file)
    except HeaderDamaged as error:
        raise DataDamaged(str(error)) from error
    if not clean:
        not_up_to_date(console)
        raise DirtyDatabase("The database was not shut down cleanly", file=path)
    result = check_under_ruler(console, env, path)
    console.line()
    if result.is_damaged:
        console.line("Integrity check completed.  Database is CORRUPTED!")
        raise DataDamaged("The database breaks rules, see above", file=path)
    console.line("Integrity check successful.")
    console.line()
    console.line()


def not_up_to_date(console: Console) -> None:
    """Say that a database needs its logs first."""
    for line in _NOT_UP_TO_DATE:
        console.line(line)


def check_under_ruler(console: Console, env: Env, path: str) -> CheckResult:
    """Check all rules; findings go to the error stream. Raises what `check_database` raises."""
    console.line()
    console.line("Checking database integrity.")
    ruler = Ruler(console, file_size(env, path))
    console.line()
    ruler.begin(_TITLE)
    reporter = Reporter()
    try:
        result = check_database(env, path, reporter, ruler.advance)
    finally:
        ruler.end()
    for finding in reporter.findings:
        if finding.severity != Severity.NOTE:
            console.error_line(_text(finding))
    for rule, count in reporter.counts.items():
        shown = sum(finding.rule == rule for finding in reporter.findings)
        if count > shown:
            console.error_line(f"{count - shown} more findings of rule {rule}")
    return result


def _text(finding: Finding) -> str:
    word = "ERROR" if finding.severity == Severity.ERROR else "WARNING"
    place = f"{finding.position}: " if finding.position else ""
    return f"{word}: {place}{finding.message} [{finding.rule}]"
