"""What both tools do on the terminal: lines, the ruler, the closing line, exit statuses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from hotsplit import __version__, stdout
from hotsplit.errors import HotsplitError, KernelsUnavailable

INTERRUPTED, BROKEN_PIPE = 130, 141
USAGE = -1
"""What the originals return for arguments that make no sense, and when they cannot say more."""

_RULER = (
    "0    10   20   30   40   50   60   70   80   90  100",
    "|----|----|----|----|----|----|----|----|----|----|",
)
_INDENT = " " * 10
_DOT = 2  # per cent

# Names in ESE files may hold anything; a terminal must not obey it.
_CONTROL = {c: "?" for c in (*range(32), *range(127, 160)) if chr(c) not in "\t\n"}


class Usage(Exception):
    """The arguments make no sense. The text is what the original says."""


class Console:
    """Where a tool writes. `begun` is when it was started, for the closing line."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err
        self._clock = time.monotonic
        self.begun = self._clock()

    def line(self, text: str = "") -> None:
        """Print a line."""
        self._out.write(text.translate(_CONTROL) + "\n")

    def part(self, text: str) -> None:
        """Print the beginning of a line."""
        self._out.write(text.translate(_CONTROL))
        self._out.flush()

    def error_line(self, text: str) -> None:
        """Print a line of what is wrong with a file."""
        self._out.flush()
        self._err.write(text.translate(_CONTROL) + "\n")

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self._clock() - self.begun

    def logo(self) -> None:
        """Print the head of the output."""
        self.line(f"Extensible Storage Engine Utilities of hotsplit, Version {__version__}")
        self.line("Licensed under the MIT License.")
        self.line()


class Ruler:
    """The ruler of the originals: one dot for every two per cent."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = max(1, total)
        self._done = 0
        self._dots = 0

    def begin(self, title: str) -> None:
        """Print title and ruler."""
        width = len(_RULER[1])
        if title:
            self._console.line(_INDENT + " " * ((width - len(title)) // 2) + title)
            self._console.line()
        for line in _RULER:
            self._console.line(_INDENT + line)
        self._console.part(_INDENT)

    def advance(self, amount: int) -> None:
        """Take note of work done."""
        self._done += amount
        dots = min(100, self._done * 100 // self._total) // _DOT
        if dots > self._dots:
            self._console.part("." * (dots - self._dots))
            self._dots = dots

    def end(self) -> None:
        """Fill the ruler."""
        self._console.line("." * (100 // _DOT - self._dots) + ".")


def exit_status(result: int) -> int:
    """Return what a shell can see of a result: its lowest eight bits, never 0 for a failure."""
    return result & 0xFF or (1 if result else 0)


def guarded(run: Callable[[], int]) -> int:
    """Run a tool; return its exit status, also when it is stopped or its reader goes away."""
    stdout.make_sure()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = exit_status(run())
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        stdout.give_up()
        return BROKEN_PIPE
    except OSError as error:  # files are opened elsewhere, and their errors are of our own
        stdout.give_up()
        failure = stdout.failure(error)
        print(described(failure), file=sys.stderr)
        return exit_status(int(failure.jet))
    return status


def described(error: HotsplitError) -> str:
    """Return number, name and cause in the form of the closing line."""
    return f"{int(error.jet)} ({error.jet.title}, {error})"


def as_error(error: ImportError) -> HotsplitError:
    """Return the error for kernels that cannot be loaded; other import errors are bugs."""
    if type(error).__name__ != "KernelsMissingError":
        raise error
    return KernelsUnavailable(str(error))
