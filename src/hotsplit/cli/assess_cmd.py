"""`hotsplit assess`: can this be recovered, and if not, why."""

from __future__ import annotations

import os.path
from typing import Any

import click

from hotsplit.cli.output import Output
from hotsplit.cli.recover_cmd import PositionType
from hotsplit.errors import PageDamaged
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.recovery.assess import LogRole, LogView, Verdict, assess
from hotsplit.ese.recovery.options import Options
from hotsplit.report import Severity

_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: None}


@click.command("assess")
@click.argument("sources", metavar="DIR|DB...", nargs=-1, required=True, type=click.Path())
@click.option("--logs", multiple=True, type=click.Path(), help="Folder of logs (repeat).")
@click.option("--base", help="Base name of the logs, e.g. E00, if it cannot be told.")
@click.option("--checkpoint", type=click.Path(), help="Checkpoint file, if not beside the logs.")
@click.option("--ignore-checkpoint", is_flag=True, help="Replay all logs that are there.")
@click.option("--until", type=PositionType(), help="As in recover.")
@click.option("--ignore-missing", is_flag=True, help="As in recover.")
@click.option("--accept-lost-logs", is_flag=True, help="As in recover.")
@click.option("--cut-torn-tail", is_flag=True, help="As in recover.")
@click.option("--hard", is_flag=True, help="Judge streaming backup copies for hard recovery.")
@click.option("--no-scan", is_flag=True, help="Do not verify the pages that no log touches.")
@click.option("--json", is_flag=True, help="Print one JSON object.")
def command(**given: Any) -> int:
    """Say whether databases can be recovered with the logs that are there, and how far.

    Files are only read: recovery is tried out in memory. The exit status is 0 if it succeeds, that
    of the error if it does not, and that of damaged pages (14) if recovery would succeed and leave
    damaged pages behind.
    """
    out, env = Output(json=given["json"]), OsEnv()
    options = Options(
        ignore_checkpoint=given["ignore_checkpoint"],
        until=given["until"],
        ignore_missing=given["ignore_missing"],
        accept_lost_logs=given["accept_lost_logs"],
        cut_torn_tail=given["cut_torn_tail"],
        hard=given["hard"],
    )
    verdict = assess(
        env,
        list(given["sources"]),
        list(given["logs"]),
        options,
        base=given["base"],
        checkpoint=given["checkpoint"],
        scan_pages=not given["no_scan"],
    )
    _show(out, verdict)
    out.emit(as_json(verdict))
    if verdict.error is not None:
        return verdict.error.exit_status
    return PageDamaged.exit_status if verdict.damage_left else 0


def _show(out: Output, verdict: Verdict) -> None:
    for finding in verdict.evidence:
        place = ", ".join(p for p in (os.path.basename(finding.file), finding.position) if p)  # noqa: PTH119
        text = f"{place}: {finding.message}" if place else finding.message
        out.line(f"  {text}", fg=_STYLES[finding.severity])
    if verdict.logs:
        out.line()
        out.table(("logs", "files", "needed as", "state"), _log_rows(verdict.logs))
    out.line()
    _show_answer(out, verdict)


def _show_answer(out: Output, verdict: Verdict) -> None:
    error = verdict.error
    if error is not None:
        out.line(f"NOT RECOVERABLE: {error}", fg="red", bold=True)
        out.line(f"  {error.jet.title} ({int(error.jet)})")
    elif verdict.damage_left:
        out.line("RECOVERABLE, but damaged pages remain", fg="yellow", bold=True)
    elif verdict.plan.last:
        out.line(f"RECOVERABLE up to log {verdict.roll_forward_to}", fg="green", bold=True)
    else:
        out.line(f"{verdict.state.upper()}: nothing to recover", fg="green", bold=True)
    out.line(f"  Next: {verdict.next_step}")


def _log_rows(logs: list[LogView]) -> list[tuple[str, str, str, str]]:
    """Return a row for each run of logs that are alike."""
    rows: list[tuple[str, str, str, str]] = []
    run: list[LogView] = []
    for log in [*logs, None]:
        if log is not None and run and _alike(run[-1], log):
            run.append(log)
            continue
        if run:
            rows.append(_row(run))
        run = [] if log is None else [log]
    return rows


def _alike(one: LogView, other: LogView) -> bool:
    same = (one.role, one.problem) == (other.role, other.problem)
    return same and other.generation == one.generation + 1


def _row(run: list[LogView]) -> tuple[str, str, str, str]:
    first, last = run[0], run[-1]
    alone = len(run) == 1
    numbers = str(first.generation) if alone else f"{first.generation}-{last.generation}"
    names = first.name if alone else f"{first.name} - {last.name}"
    return numbers, names, str(first.role), first.problem or "present"


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Return the object that ``--json`` prints."""
    checkpoint = verdict.plan.checkpoint
    return {
        "recoverable": verdict.recoverable,
        "error": None if verdict.error is None else verdict.error.as_json(),
        "state": verdict.state,
        "log_required": list(verdict.log_required),
        "log_required_files": [log.name for log in verdict.logs if log.role == LogRole.REQUIRED],
        "log_committed": verdict.log_committed,
        "missing": [log.name for log in verdict.missing],
        "foreign": [log.name for log in verdict.foreign],
        "damaged": [log.name for log in verdict.damaged],
        "roll_forward_to": verdict.roll_forward_to,
        "roll_forward_position": None if verdict.end is None else str(verdict.end),
        "checkpoint": {
            "path": checkpoint.path,
            "position": None if checkpoint.position is None else str(checkpoint.position),
            "use": str(checkpoint.use),
        },
        "evidence": [finding.as_json() for finding in verdict.evidence],
        "next_step": verdict.next_step,
        "damage_left": [{"file": path, "page": pgno} for path, pgno in verdict.damage_left],
        "databases": [
            {
                "path": view.path,
                "state": view.state,
                "signature": str(view.header.db_signature),
                "log_required": list(view.required),
                "log_committed": view.header.gen_max_committed,
            }
            for view in verdict.databases
        ],
        "logs": [
            {
                "generation": log.generation,
                "name": log.name,
                "path": log.path,
                "role": str(log.role),
                "problem": log.problem,
            }
            for log in verdict.logs
        ],
    }
