"""What commands print: results on stdout, progress and trouble on stderr, nothing else."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import click

from hotsplit.errors import HotsplitError
from hotsplit.report import json_text


class Progress(Protocol):
    """A long piece of work that moves on."""

    def advance(self, amount: int = 1) -> None:
        """Report `amount` more units of work done."""
        ...


class _Quiet:
    def advance(self, amount: int = 1) -> None:
        """Say nothing."""


class _Bar:
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def advance(self, amount: int = 1) -> None:
        """Move the bar."""
        self._bar.advance(self._task, amount)


class Output:
    """One command's output: a JSON object for programs or text for people."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def emit(self, value: dict[str, Any]) -> None:
        """Print the one JSON object; nothing for people."""
        if self.json:
            click.echo(json_text(value, default=str).encode())

    def line(self, text: str = "", **style: Any) -> None:
        """Print a line for people; nothing in JSON mode. `style` as in click.style."""
        if not self.json:
            click.secho(text, **style)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print aligned columns for people; numbers to the right."""
        if self.json:
            return
        cells = [[str(cell) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
        right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
        for number, row in enumerate([list(header), *cells]):
            parts = (
                c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)
            )
            click.secho("  ".join(parts).rstrip(), bold=number == 0)

    def note(self, text: str) -> None:
        """Print a notice on stderr, in either mode."""
        click.secho(text, err=True, fg="yellow")

    def finding(self, message: str, position: str) -> None:
        """Print what was found, and where if that is known, on stderr, in either mode."""
        self.note(f"{message} ({position})" if position else message)

    def warn(self, text: str) -> None:
        """Print a warning for people on stderr; nothing in JSON mode, where the object has it."""
        if not self.json:
            click.secho(f"Warning: {text}", err=True, fg="yellow")

    def error(self, error: HotsplitError) -> None:
        """Print an error for people on stderr."""
        click.secho(f"Error: {error}", err=True, fg="red", bold=True)
        click.echo(f"  {error.jet.title} ({int(error.jet)})", err=True)
        click.echo(f"  Next: {error.hint}", err=True)

    @contextlib.contextmanager
    def progress(self, label: str, total: int, *, unit: str = "") -> Iterator[Progress]:
        """Show a progress bar on stderr while the body runs, if stderr is a terminal.

        unit: "B" counts bytes; anything else is shown as a count.
        """
        if not sys.stderr.isatty():
            yield _Quiet()
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as RichProgress

        count = [DownloadColumn(), TransferSpeedColumn()] if unit == "B" else [MofNCompleteColumn()]
        columns = [TextColumn("{task.description}"), BarColumn(), *count, TimeRemainingColumn()]
        with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield _Bar(bar, bar.add_task(label, total=total))
