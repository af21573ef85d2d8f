"""What benchmarks share.

A benchmark is a module of this folder with a function ``run() -> list[Row]`` that needs no
arguments; the first line of its docstring is its heading. `bench.run` finds and runs them all and
writes their rows into docs/performance.md. Figures are medians of several rounds; where two things
are compared they run in turn, so that a noisy machine slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.conftest import manifest, unpack_vector

from hotsplit.example import unpack


class Row(NamedTuple):
    """One figure. goal: what it should be, in words, e.g. ``at least 80``; empty if nothing."""

    what: str
    figure: float
    unit: str
    goal: str = ""


def example(folder: Path) -> Path:
    """Unpack the hot split set that comes with the package; return its folder."""
    unpack(folder)
    return next(folder.rglob("*.edb")).parent


def vector(name: str) -> Path | None:
    """Return the folder of a large set made by the real engine, None where there is none."""
    return unpack_vector(name) if name in manifest() or name == "perf-replay" else None


def rounds(count: int, *calls: Callable[[], float]) -> list[tuple[float, ...]]:
    """Call each in turn, `count` times after once to warm up; return the figures by round."""
    for call in calls:
        call()
    return [tuple(call() for call in calls) for _ in range(count)]


def medians(count: int, *calls: Callable[[], float]) -> list[float]:
    """Return the median of the figures of each call."""
    return [statistics.median(figures) for figures in zip(*rounds(count, *calls), strict=True)]


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
