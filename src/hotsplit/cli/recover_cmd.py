"""`hotsplit recover`: soft and hard recovery into a new folder or in place."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from hotsplit.cli.output import Output, Progress
from hotsplit.ese.files.env import Env, OsEnv
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.recovery.events import EventId, EventLog
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import Recovered, recover


class PositionType(click.ParamType[Any]):
    """GENERATION or GENERATION:SECTOR:BYTE, decimal or 0x..."""

    name = "position"

    def convert(self, value: Any, param: Any, ctx: Any) -> LogPosition:
        """Turn the text into a position."""
        if isinstance(value, LogPosition):
            return value
        try:
            parts = [int(part, 0) for part in str(value).split(":")]
        except ValueError:
            parts = []
        if len(parts) not in (1, 3) or any(part < 0 for part in parts) or not parts[0]:
            self.fail(f"{value!r} is no position: give GENERATION or GENERATION:SECTOR:BYTE")
        return LogPosition(*parts)


class PathMap(click.ParamType[Any]):
    """LOGGED=NEW: where a database of the logs lies now."""

    name = "map"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        """Split at the first equals sign."""
        old, equals, new = str(value).partition("=")
        if not (old and equals and new):
            self.fail(f"{value!r}: give LOGGED_PATH=NEW_PATH")
        return old.lower(), new


class Follower:
    """Shows progress on a terminal and writes the events to a file."""

    def __init__(self, out: Output, env: Env, stack: contextlib.ExitStack, events: str) -> None:
        self._out, self._stack = out, stack
        self._log = EventLog(env, events)
        stack.callback(self._log.close)
        self._bar: Progress | None = None

    def event(self, number: EventId, text: str, *strings: str) -> None:
        """See `Watch`."""
        self._log.event(number, text, *strings)

    def begin(self, total: int) -> None:
        """See `Watch`."""
        progress = self._out.progress("Replaying logs", total, unit="B")
        self._bar = self._stack.enter_context(progress)

    def advance(self, amount: int) -> None:
        """See `Watch`."""
        if self._bar is not None:
            self._bar.advance(amount)


@click.command("recover")
@click.argument("sources", metavar="DIR|DB...", nargs=-1, required=True, type=click.Path())
@click.option("--logs", multiple=True, type=click.Path(), help="Folder of logs (repeat).")
@click.option("--into", type=click.Path(), help="New folder for the result.")
@click.option("--in-place", is_flag=True, help="CHANGE the databases and logs where they lie.")
@click.option("--base", help="Base name of the logs, e.g. E00, if it cannot be told.")
@click.option("--checkpoint", type=click.Path(), help="Checkpoint file, if not beside the logs.")
@click.option("--ignore-checkpoint", is_flag=True, help="Replay all logs that are there.")
@click.option(
    "--until",
    type=PositionType(),
    help="Stop behind a generation, or before a position GENERATION:SECTOR:BYTE.",
)
@click.option("--without-undo", is_flag=True, help="Redo only; the databases stay dirty.")
@click.option("--ignore-missing", is_flag=True, help="Leave out databases that are not there.")
@click.option(
    "--accept-lost-logs", is_flag=True, help="LOSES the transactions of committed logs not there."
)
@click.option("--cut-torn-tail", is_flag=True, help="Cut an interrupted write off the last log.")
@click.option("--hard", is_flag=True, help="Restore streaming backup copies.")
@click.option(
    *("--map", "maps"),
    multiple=True,
    type=PathMap(),
    metavar="LOGGED=NEW",
    help="Where a database of the logs lies now, if not found by its signature.",
)
@click.option(
    "--events",
    type=click.Path(),
    help="Event log, JSON lines (default: beside the result, NAME.events.jsonl).",
)
@click.option("--json", is_flag=True, help="Print one JSON object.")
def command(**given: Any) -> None:
    """Recover databases by replaying their transaction logs.

    With --into the source is only read. With --in-place the databases are made clean where they lie
    and their log stream is closed, as the engine does it; broken off at any point, a second run
    succeeds. Databases are matched with the logs by signature, wherever they lie. Logs are looked
    for beside the databases if --logs names no folder.
    """
    out, env = Output(json=given["json"]), OsEnv()
    options = Options(
        undo=not given["without_undo"],
        ignore_checkpoint=given["ignore_checkpoint"],
        until=given["until"],
        ignore_missing=given["ignore_missing"],
        accept_lost_logs=given["accept_lost_logs"],
        cut_torn_tail=given["cut_torn_tail"],
        hard=given["hard"],
        paths=dict(given["maps"]),
    )
    arguments = env, list(given["sources"]), list(given["logs"])
    stream = {"base": given["base"], "checkpoint": given["checkpoint"]}
    with contextlib.ExitStack() as stack:
        follower = Follower(out, env, stack, given["events"] or _events_path(given))
        if given["in_place"]:
            from hotsplit.ese.engine.opening.inplace import recover_in_place

            result = recover_in_place(*arguments, options, follower, **stream)
        else:
            result = recover(*arguments, given["into"], options, follower, **stream)
    _show(out, result)


def _events_path(given: dict[str, Any]) -> str:
    """Return where the event log goes: beside the result."""
    if bool(given["into"]) == given["in_place"]:
        raise click.UsageError("Give either --into NEW_FOLDER or --in-place.")
    place: str = given["into"] or given["sources"][0]
    return f"{place.rstrip('/')}.events.jsonl"


def _show(out: Output, result: Recovered) -> None:
    for warning in result.warnings:
        out.warn(f"{warning.message}{f' ({warning.position})' if warning.position else ''}")
    if result.first:
        out.line(
            f"Replayed logs {result.first}-{result.last}: {result.records} records, "
            f"{result.volume / 1e6:.1f} MB in {result.seconds:.2f} s; "
            f"{result.undone} operations undone."
        )
    else:
        out.line("Nothing to replay: the databases are clean.")
    for path, state, _ in result.databases:
        out.line(f"{path}: {state}", fg="green" if state == "CLEAN_SHUTDOWN" else "yellow")
    out.emit(as_json(result))


def as_json(result: Recovered) -> dict[str, Any]:
    """Return the object that ``--json`` prints."""
    return {
        "error": None,
        "databases": [
            {"path": path, "state": state, "signature": signature}
            for path, state, signature in result.databases
        ],
        "replayed": {
            "first": result.first,
            "last": result.last,
            "records": result.records,
            "bytes": result.volume,
            "seconds": round(result.seconds, 3),
        },
        "undone": result.undone,
        "warnings": [warning.as_json() for warning in result.warnings],
    }
