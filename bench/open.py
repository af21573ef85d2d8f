"""Opening a database, whatever its size.

The large file is the small one made longer: a file system keeps the added pages as a hole, and
what opening costs would show it if it depended on the size.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.conftest import SHARED

from bench.common import Row, example, medians, seconds, vector
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database

ROUNDS = 25
LARGE = 1 << 40
_GOAL = "under 20"


def run() -> list[Row]:
    """Return how long it takes to open databases and to find a table."""
    with tempfile.TemporaryDirectory() as scratch:
        small = example(Path(scratch)) / "test.edb"
        large = Path(scratch) / "large.edb"
        large.write_bytes(small.read_bytes())
        with large.open("r+b") as file:
            file.truncate(LARGE)
        databases = {"1 MB": small, "1 TB": large}
        replayed = vector("perf-replay")
        if replayed is not None:
            databases["6 MB"] = replayed / "crash" / "test.edb"
        paths = {label: str(path) for label, path in databases.items()}
        opened = medians(ROUNDS, *(lambda p=p: seconds(lambda: _open(p)) for p in paths.values()))
        found = medians(ROUNDS, *(lambda p=p: seconds(lambda: _find(p)) for p in paths.values()))
    rows = [
        Row(f"open a database of {label}", 1000 * taken, "ms", _GOAL)
        for label, taken in zip(paths, opened, strict=True)
    ]
    rows += [
        Row(f"open, list the tables, read the first row, {label}", 1000 * taken, "ms")
        for label, taken in zip(paths, found, strict=True)
    ]
    return rows + _wide()


def _wide() -> list[Row]:
    """Return how long the definition of a table of 64,994 columns takes, if there is one."""
    path = SHARED / "corpus" / "engine" / "large.edb"
    if not path.exists():
        return []

    def find() -> float:
        begun = time.process_time()
        with Database.open(OsEnv(), str(path)) as db:
            db.table(db.tables()[0])
        return 1000 * (time.process_time() - begun)

    (taken,) = medians(5, find)
    return [Row("open a table of 64,994 columns", taken, "CPU ms", "under 200")]


def _open(path: str) -> None:
    Database.open(OsEnv(), path).close()


def _find(path: str) -> None:
    with Database.open(OsEnv(), path) as db:
        table = db.table(db.tables()[0])
        next(table.values(), None)


if __name__ == "__main__":
    for row in run():
        print(*row)
