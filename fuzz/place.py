"""What every target needs: where the files of a case lie, and how a command is run over them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.identify import FileKind, identify


@dataclass(frozen=True)
class Place:
    """Where the files of a case lie.

    changed: the paths of those that are worth looking at; number: of the case.
    """

    folder: Path
    changed: list[Path]
    scratch: Path
    number: int

    def of_kind(self, kind: FileKind) -> Iterator[Path]:
        """Yield the changed files of a kind."""
        for path in self.changed:
            if identify(OsEnv(), str(path)) == kind:
                yield path


Target = Callable[[Place], str]
"""Returns the outcome in words."""


class WrongOutcome(Exception):
    """A command ended in a way that its contract does not know."""


def run_command(main: Callable[[list[str]], None], *args: str) -> tuple[int, str]:
    """Run a command line in this process; return exit status and standard output."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(list(args))
        except SystemExit as stop:
            status = int(stop.code or 0)
    out.flush()
    buffer = out.detach()  # click keeps the wrapper for ever
    return status, buffer.getvalue().decode()
