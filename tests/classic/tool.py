"""Runs the classic tools in this process and compares with what the originals printed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hotsplit.classic import esefile, eseutil
from hotsplit.classic.console import Console


class Ran(NamedTuple):
    """What a tool printed, and its result."""

    result: int
    out: list[str]
    err: list[str]


def _run(tool: Callable[[list[str], Console], int], arguments: tuple[str | Path, ...]) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    result = tool([str(a) for a in arguments], Console(out, err))
    return Ran(result, out.getvalue().splitlines(), err.getvalue().splitlines())


def run_eseutil(*arguments: str | Path) -> Ran:
    """Run eseutil."""
    return _run(eseutil.run, arguments)


def run_esefile(*arguments: str | Path) -> Ran:
    """Run esefile."""
    return _run(esefile.run, arguments)


_PATH = re.compile(r"(?:[A-Z]:|<X>|(?<=[ (])/)[^ ,)]*[\\/]")
_TIME = re.compile(r"(in|after) \d+\.\d+ seconds")
_READS = re.compile(r"^\d+ (reads|seconds|MB/second|milliseconds)")
_LOGO = 3  # lines: names and version of the tool, licence


def normal(lines: list[str], logo: int) -> list[str]:
    """Return lines without the head of the tool, folders and times. logo: length of the head."""
    kept = lines[:1] + lines[1 + logo :]
    kept = [_TIME.sub(r"\1 #", _PATH.sub("", line)) for line in kept]
    kept = [_READS.sub(r"# \1", line) for line in kept if not line.startswith("  Temp. Database:")]
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def ours(ran: Ran) -> list[str]:
    """Return what our tool printed, for comparison."""
    return normal(ran.out, 2)


def theirs(text: str) -> list[str]:
    """Return what the original printed, for comparison."""
    return normal(text.splitlines(), 4)
