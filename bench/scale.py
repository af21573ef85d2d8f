"""Time and memory from small to large databases, one core, a process for each figure.

The databases are written by `bench.bigdb`. Time is CPU time a row, compared with that of the
smallest. Run: ``python -m bench.scale MEGABYTES...`` for other sizes, e.g. 10 10000; that needs
twice the largest size on the disk for temporary files.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.bigdb import build
from bench.common import Row
from bench.onepass import FORMATS

SIZES = (10.0, 100.0, 400.0)
WORK = ("batches", "rows", *FORMATS, "check")
_PAGE = 8192


class Pass(NamedTuple):
    """One pass over a database: CPU seconds a row, most memory in MB."""

    seconds: float
    memory: float


def once(work: str, path: Path, scratch: Path, small: Path) -> Pass:
    """Do one piece of work in a process of its own; it warms up with a small database."""
    command = [sys.executable, "-m", "bench.onepass", work, *map(str, (path, scratch, small))]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count, seconds, memory = map(float, text.split())
    return Pass(seconds / count, memory)


def measured(work: str, path: Path, scratch: Path, small: Path) -> Pass:
    """Return the best of some passes, of more where they are short."""
    found = [once(work, path, scratch, small)]
    rounds = 1 if path.stat().st_size > 1e9 else 3
    found += [once(work, path, scratch, small) for _ in range(rounds - 1)]
    return Pass(min(p.seconds for p in found), max(p.memory for p in found))


def compared(work: str, files: list[Path], scratch: Path) -> Iterator[Row]:
    """Yield time and memory of one kind of work on each file."""
    label = work if work in ("batches", "rows", "check") else f"export to {work}"
    passes = [measured(work, file, scratch, files[0]) for file in files]
    largest, size = passes[-1], files[-1].stat().st_size / 1e6
    unit = "µs a record" if work == "check" else "µs a row"
    yield Row(f"{label}, {size:,.0f} MB", largest.seconds * 1e6, unit)
    for file, found in zip(files[:-1], passes, strict=False):
        small = file.stat().st_size / 1e6
        what = f"{label}, {size:,.0f} MB / {small:,.0f} MB"
        yield Row(what, largest.seconds / found.seconds, "times", "at most 1.1")
    yield Row(f"{label}, memory", max(p.memory for p in passes), "MB", "at most 200")


def run(sizes: tuple[float, ...] = SIZES) -> list[Row]:
    """Return all figures."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        scratch, files = Path(name) / "scratch", []
        scratch.mkdir()
        for size in sizes:
            files.append(Path(name) / f"{size:.0f}.edb")
            build(files[-1], size, _PAGE)
        for work in WORK:
            for row in compared(work, files, scratch):
                rows.append(row)
                print(*row, flush=True) if len(sys.argv) > 1 else None
    return rows


if __name__ == "__main__":
    run(tuple(map(float, sys.argv[1:])) or SIZES)
