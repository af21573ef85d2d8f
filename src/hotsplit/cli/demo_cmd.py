"""`hotsplit demo`: the main job on a small hot split set made by the real engine."""

from __future__ import annotations

import importlib.resources
import tarfile
import tempfile
from pathlib import Path

import click

from hotsplit.cli.output import Output
from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover


@click.command("demo")
def command() -> None:
    """Recover a database that was captured while it was running, then take a log away."""
    out, env = Output(json=False), OsEnv()
    with tempfile.TemporaryDirectory() as scratch:
        split = Path(scratch) / "split"
        _unpack(split)
        out.line("A hot split clone, captured while the engine was running:", bold=True)
        out.line("  " + "  ".join(sorted(p.name for p in split.iterdir())))
        database = str(split / "test.edb")
        with Database.open(env, database) as db:
            required = db.header.gen_min_required, db.header.gen_max_required
            out.line(f"  State {db.state}; logs required {required[0]}-{required[1]}")
        out.line("\nRecover it into a new folder:", bold=True)
        result = recover(env, [database], [str(split)], str(Path(scratch) / "recovered"))
        out.line(
            f"  Logs {result.first}-{result.last}: {result.records} records replayed, "
            f"{result.undone} operations of open transactions undone"
        )
        with Database.open(env, result.databases[0][0]) as db:
            out.line(f"  State {db.state}\n")
            rows = [(t.name, sum(1 for _ in t.records())) for t in db]
            out.table(("Table", "Rows"), [row for row in rows if row[1]])
        out.line("\nTake one required log away and try again:", bold=True)
        (split / "E0000000002.log").unlink()
        try:
            recover(env, [database], [str(split)], str(Path(scratch) / "again"))
        except HotsplitError as error:
            out.line(f"  {error.jet.title} ({int(error.jet)}): {error.message}", fg="red")
            out.line(f"  Next: {error.hint}")


def _unpack(target: Path) -> None:
    archive = importlib.resources.files("hotsplit") / "example" / "hotsplit.tar.xz"
    with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:xz") as tar:
        tar.extractall(target, filter="data")
