"""`hotsplit repair`: everything readable of a damaged database in a new one."""

from __future__ import annotations

import click

from hotsplit.cli.output import Output
from hotsplit.ese.check.integrity import CheckResult, check_database
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.rebuild.losses import Repaired, TreeLoss
from hotsplit.ese.rebuild.repair import PASSES, repair
from hotsplit.ese.recovery.replayed import pages_of
from hotsplit.report import Reporter

LOST = 4
"""Exit status when something could not be brought over."""

_SHOWN = 20


@click.command("repair")
@click.argument("database", metavar="DB", type=click.Path())
@click.option("--into", required=True, type=click.Path(), help="The new database file.")
@click.option("--replay", is_flag=True, help="Replay the logs first, in memory.")
@click.option("--logs", multiple=True, type=click.Path(), help="Folder of logs for --replay.")
@click.option("--json", "json", is_flag=True, help="Print one JSON object.")
def command(database: str, into: str, replay: bool, logs: tuple[str, ...], json: bool) -> int:
    """Salvage everything readable of a damaged database, and say what is lost.

    What eseutil /p is for, but never in place: the source is only read. A dirty database is taken
    as it lies unless --replay is given; recover it if its logs are there. The result is checked.

    \b
    Exit status:
      0   nothing was lost
      4   something was lost, or the result is not sound
    """
    out, env = Output(json=json), OsEnv()
    with (
        pages_of(env, database, list(logs), replay=replay) as source,
        out.progress("Repairing", PASSES * source.page_count) as progress,
    ):
        result = repair(env, source, database, into, progress.advance)
    with out.progress("Checking the result", result.pages * result.page_size, unit="B") as progress:
        checked = check_database(env, into, Reporter(), progress.advance)
    _print(out, result, checked, into)
    out.emit(
        {
            **result.as_json(),
            "into": into,
            "sound": not checked.is_damaged,
            "check": checked.reporter.counts,
            "error": None,
        }
    )
    return LOST if result.lost_anything or checked.is_damaged else 0


def _print(out: Output, result: Repaired, checked: CheckResult, into: str) -> None:
    if not result.was_clean:
        out.warn("The database was not shut down cleanly; it was taken as it lies.")
    if result.damaged_pages:
        out.line(f"Damaged pages: {_numbers(result.damaged_pages)}", fg="yellow")
    for loss in result.trees:
        out.line(_loss(loss), fg="yellow")
    for table, values in result.values.items():
        sizes = [value.lost for value in values if value.lost is not None]
        out.line(
            f"long values of table {table}, not whole: {len(values)}; {len(values) - len(sizes)} "
            f"of unknown size, {sum(sizes)} bytes of the others are lost",
            fg="yellow",
        )
    for name in result.left_out:
        out.line(f"Not in the result: {name}", fg="red")
    for note in result.notes[:_SHOWN]:
        out.line(note[:1].upper() + note[1:], fg="red")
    if len(result.notes) > _SHOWN:
        out.line(f"{len(result.notes) - _SHOWN} more notes; see --json")
    out.line(f"{into}: {result.tables} tables, {result.pages} pages")
    sound = "not sound, see hotsplit check" if checked.is_damaged else "sound"
    lost = "Something was lost" if result.lost_anything else "Nothing was lost"
    out.line(f"{lost}. The result is {sound}.", bold=True)


def _numbers(pages: list[int]) -> str:
    shown = ", ".join(map(str, pages[:_SHOWN]))
    more = len(pages) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _keys(keys: list[bytes]) -> str:
    shown = ", ".join(key.hex() for key in keys[:_SHOWN])
    more = len(keys) - _SHOWN
    return f"{shown} and more, see --json" if more > 0 else shown


def _loss(loss: TreeLoss) -> str:
    parts = []
    if loss.pages:
        parts.append(f"unusable pages: {_numbers(loss.pages)}")
    if loss.found:
        parts.append(f"leaves found without a pointer to them: {loss.found}")
    if loss.holds_rows:
        lost = "an unknown number" if loss.lost is None else f"about {loss.lost}"
        parts.append(f"rows lost: {lost if loss.lost != 0 else 'none'}")
    if loss.unsound:
        parts.append(f"rows left out that do not hold together: {loss.unsound}")
    if loss.lost_keys:
        parts.append(f"their keys: {_keys(loss.lost_keys)}")
    if loss.mended_count:
        names = dict.fromkeys(name for record in loss.mended for name in record.columns)
        what = f" (values of {', '.join(list(names)[:_SHOWN])})" if names else ""
        parts.append(f"records mended: {loss.mended_count}{what}")
    if loss.action:
        parts.append(loss.action)
    return f"{loss.object}: {'; '.join(parts)}"
