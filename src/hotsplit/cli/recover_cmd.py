"""`hotsplit recover`: soft recovery into a new folder."""

from __future__ import annotations

import os.path
import time
from pathlib import Path

import click

from hotsplit.cli.output import Output
from hotsplit.errors import FileMissing, HotsplitError
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.recovery.recover import Recovered, recover


def databases_in(env: OsEnv, source: str) -> tuple[list[str], str]:
    """Return the databases that `source` names (a file, or all in a folder) and its folder."""
    if not env.is_dir(source):
        return [source], os.path.dirname(source) or "."  # noqa: PTH120
    found = []
    for path in sorted(Path(source).iterdir()):
        try:
            DatabaseFile.open(env, str(path)).close()
        except HotsplitError:
            continue
        found.append(str(path))
    if not found:
        raise FileMissing("There is no database in this folder", file=source)
    return found, source


@click.command("recover")
@click.argument("source", metavar="DIR|DB", type=click.Path())
@click.option("--logs", "logs", multiple=True, type=click.Path(), help="Folder of logs (repeat).")
@click.option("--into", required=True, type=click.Path(), help="New folder for the result.")
@click.option("--without-undo", is_flag=True, help="Redo only; the databases stay dirty.")
@click.option("--json", "json", is_flag=True, help="Print one JSON object.")
def command(source: str, logs: tuple[str, ...], into: str, without_undo: bool, json: bool) -> None:
    """Recover databases by replaying their transaction logs; the source is only read."""
    out, env = Output(json=json), OsEnv()
    databases, folder = databases_in(env, source)
    begun = time.monotonic()
    result = recover(env, databases, list(logs) or [folder], into, undo=not without_undo)
    _show(out, result, time.monotonic() - begun)


def _show(out: Output, result: Recovered, seconds: float) -> None:
    megabytes = result.volume / 1e6
    out.line(
        f"Replayed logs {result.first}-{result.last}: {result.records} records, "
        f"{megabytes:.1f} MB in {seconds:.2f} s; {result.undone} operations undone."
    )
    for path, state, _ in result.databases:
        out.line(f"{path}: {state}", fg="green")
    out.emit(
        {
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
                "seconds": round(seconds, 3),
            },
            "undone": result.undone,
            "warnings": result.warnings,
        }
    )
