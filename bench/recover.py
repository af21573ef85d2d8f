"""Recovery: replay of transaction logs, one core.

Each recovery runs in a process of its own on one processor, so that its memory can be told.
`python -m bench.recover FOLDER INTO BUDGET` is that process.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.common import Row, example, vector

ROUNDS = 5
SMALL_BUDGET = 1 << 20
_DEFAULT = "default"


class Run(NamedTuple):
    """What one recovery took. bytes: of log records; memory: peak of the process, bytes."""

    bytes: int
    seconds: float
    memory: int


def run() -> list[Row]:
    """Return speed and memory of recovering a small and, where there is one, a large set."""
    with tempfile.TemporaryDirectory() as scratch:
        small = example(Path(scratch) / "example")
        sets = {"example": small}
        large = vector("perf-replay")
        if large is not None:
            sets = {"perf-replay": large / "crash", **sets}
        rows: list[Row] = []
        for name, folder in sets.items():
            rows += _speed(name, folder, Path(scratch) / "into")
        for folder in sets.values():
            rows.append(_memory(folder, Path(scratch) / "into"))
    return rows


def _speed(name: str, folder: Path, into: Path) -> list[Row]:
    runs = [_recover(folder, into, _DEFAULT) for _ in range(ROUNDS)]
    speed = statistics.median(one.bytes / 1e6 / one.seconds for one in runs)
    label = f"{name}, {runs[0].bytes / 1e6:.1f} MB of log records"
    goal = "at least 60" if name == "perf-replay" else ""
    return [
        Row(f"replay of {label}", speed, "MB/s", goal),
        Row(f"  the whole recovery of {name}", _median_ms(runs), "ms"),
    ]


def _median_ms(runs: list[Run]) -> float:
    return 1000 * statistics.median(one.seconds for one in runs)


def _memory(folder: Path, into: Path) -> Row:
    """Return the peak with a small page cache: the size of the database shall not count."""
    runs = [_recover(folder, into, str(SMALL_BUDGET)) for _ in range(ROUNDS)]
    peak = statistics.median(one.memory for one in runs) / 1e6
    volume = runs[0].bytes / 1e6
    what = f"peak memory with a page cache of 1 MB, {volume:.1f} MB of log records"
    return Row(what, peak, "MB", "under 300, whatever the volume")


def _recover(folder: Path, into: Path, budget: str) -> Run:
    """Run one recovery in a process of its own."""
    command = [sys.executable, "-m", "bench.recover", str(folder), str(into), budget]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return Run(**json.loads(done.stdout))


def _child(folder: str, into: str, budget: str) -> Run:
    from hotsplit.ese.files.env import OsEnv
    from hotsplit.ese.recovery.options import DEFAULT_BUDGET, Options
    from hotsplit.ese.recovery.recover import recover

    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    env = OsEnv()
    options = Options(budget=DEFAULT_BUDGET if budget == _DEFAULT else int(budget))
    begun = time.perf_counter()
    result = recover(env, [folder], [folder], into, options)
    taken = time.perf_counter() - begun
    peak = _peak()
    env.remove_tree(into)
    return Run(result.volume, taken, peak)


def _peak() -> int:
    """Return the most bytes of memory that this program had, not what its parent had before."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(_child(*sys.argv[1:])._asdict()))
