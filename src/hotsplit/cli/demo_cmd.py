"""`hotsplit demo`: the main job on a small hot split set made by the real engine."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from hotsplit.errors import HotsplitError
from hotsplit.example import unpack

_REQUIRED = "E0000000002.log"


@click.command("demo")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Assess, recover, verify and read a hot split clone; then take a required log away."""
    with _work_folder() as split:
        _say("A hot split clone: these files were captured in one instant, the engine running.")
        click.echo("  " + "  ".join(sorted(path.name for path in split.iterdir())))
        _say("What is the database like?")
        _run(ctx, "inspect split/test.edb")
        _say("Can it be recovered?")
        _run(ctx, "assess split")
        _say("Recover a copy: replay the logs, take back what was not committed.")
        _run(ctx, "recover split --into recovered")
        _say("Is every page of the result sound?")
        _run(ctx, "verify recovered/test.edb")
        _say("What is in it?")
        _run(ctx, "tables recovered/test.edb")
        _run(ctx, "rows recovered/test.edb Counters --limit 3")
        _say("Now one required log gets lost.")
        click.secho(f"$ rm split/{_REQUIRED}", bold=True)
        (split / _REQUIRED).unlink()
        _run(ctx, "assess split")


def _say(text: str) -> None:
    click.secho(f"\n{text}", fg="cyan")


def _run(ctx: click.Context, line: str) -> None:
    """Show a command and run it, as the user would."""
    click.secho(f"$ hotsplit {line}", bold=True)
    assert ctx.parent is not None
    with contextlib.suppress(HotsplitError):
        ctx.parent.command.main(shlex.split(line), prog_name="hotsplit", standalone_mode=False)


@contextlib.contextmanager
def _work_folder() -> Iterator[Path]:
    """Unpack the example as ``split`` in a temporary folder and go there."""
    before = os.getcwd()  # noqa: PTH109
    with tempfile.TemporaryDirectory(prefix="hotsplit-demo-") as folder:
        split = Path(folder) / "split"
        unpack(split)
        os.chdir(folder)
        try:
            yield split
        finally:
            os.chdir(before)
