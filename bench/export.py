"""Reading tables into columns and exporting databases, beside two other readers.

The databases are grown from one made by the real engine (`bench.grow`). Every reader reads all
values of all rows of the same table of the same file, in turn; CPU seconds count, as every reader
uses one core.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyesedb
from dissect.database.ese import ESE
from tests.conftest import SHARED

from bench.common import Row, example, rounds, seconds, vector
from bench.grow import grow, grow_mixed
from hotsplit.ese.export.job import Job
from hotsplit.ese.export.manifest import Plan
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database

ROWS = 60_000
_ROUNDS = 3
_SEVERAL = {"Fixed": 120_000, "Wide": 14_000, "Auto64": 1_100_000, "Tagged": 12_000}
_SRUM = SHARED / "corpus" / "srum" / "goese-SRUDB.dat"
_WIDEST = SHARED / "corpus" / "engine" / "large.edb"  # 64,994 columns
_USAGE = "{D10CA2FE-6FCF-4F6D-848E-B2E99266FA89}"  # 19 columns


def to_arrow(path: Path, name: str) -> int:
    """Read a table into Arrow data, batch by batch; return the number of rows."""
    from hotsplit.ese.read.arrow import ArrowForm

    count, form = 0, None
    with Database.open(OsEnv(), str(path)) as db:
        for batch in db.table(name).batches():
            form = form or ArrowForm.of([batch], batch.columns)
            count += form.record_batch(batch).num_rows
    return count


def by_pyesedb(path: Path, name: str) -> int:
    """Read a table with libesedb, values as stored."""
    file = pyesedb.file()
    file.open(str(path))
    table = file.get_table_by_name(name)
    count = table.number_of_records
    for i in range(count):
        record = table.get_record(i)
        for c in range(record.number_of_values):
            _pyesedb_value(record, c)
    file.close()
    return int(count)


def _pyesedb_value(record: Any, c: int) -> Any:
    try:
        if record.is_long_value(c):
            return record.get_value_data_as_long_value(c).get_data()
        return record.get_value_data(c)
    except OSError:  # some values are beyond it
        return None


def by_dissect(path: Path, name: str) -> int:
    """Read a table with dissect.database."""
    with path.open("rb") as file:
        table = ESE(file).table(name)
        names = [column.name for column in table.columns]
        count = 0
        for record in table.records():
            for column in names:
                record.get(column)
            count += 1
    return count


def rates(*calls: Callable[[], int]) -> list[float]:
    """Return rows a CPU second of each call, run in turn; the median of several rounds."""
    figures: list[list[float]] = [[] for _ in calls]
    for _ in range(_ROUNDS):
        for call, found in zip(calls, figures, strict=True):
            begun = time.process_time()
            rows = call()
            found.append(rows / (time.process_time() - begun))
    return list(map(statistics.median, figures))


def compared(path: Path, name: str, what: str, goal: str) -> list[Row]:
    """Return the figures of all readers on one table."""
    readers = (to_arrow, by_pyesedb, by_dissect)
    ours, libesedb, dissect = rates(*(partial(reader, path, name) for reader in readers))
    return [
        Row(f"{what}: hotsplit, to Arrow", ours, "rows/CPU s", goal),
        Row(f"{what}: libesedb", libesedb, "rows/CPU s"),
        Row(f"{what}: dissect.database", dissect, "rows/CPU s"),
        Row(f"{what}: hotsplit / libesedb", ours / libesedb, "times", "at least 10"),
        Row(f"{what}: hotsplit / dissect.database", ours / dissect, "times", "at least 50"),
    ]


def flat(source: Path, folder: Path) -> list[Row]:
    """Compare the time a row of a small file with that of one sixteen times as large."""
    small, large = folder / "small.edb", folder / "large.edb"
    grow(source, "Fixed", 25_000, small)
    grow(source, "Fixed", 400_000, large)
    few, many = rates(partial(to_arrow, small, "Fixed"), partial(to_arrow, large, "Fixed"))
    sizes = f"{small.stat().st_size / 1e6:.0f} and {large.stat().st_size / 1e6:.0f} MB"
    return [Row(f"time a row, {sizes}", few / many, "times", "at most 1.1")]


def export(source: Path, folder: Path) -> list[Row]:
    """Export several tables on one core and on two; the memory of the largest process."""
    database = folder / "several.edb"
    shutil.copyfile(source, database)
    for name, count in _SEVERAL.items():
        bigger = folder / "bigger.edb"
        grow(database, name, count, bigger)
        bigger.replace(database)
    peak = _memory(database, folder / "out", "parquet")
    ways = _ways(database, folder, tuple(_SEVERAL)), _ways(database, folder, ("Fixed",))
    (gain, room), (alone, alone_room) = map(_gains, ways)
    return [
        Row("export of several tables as CSV, two cores / one", gain, "times", "at least 1.7"),
        Row("two such exports at once / one after the other", room, "times"),
        Row("share of what two cores can do here", 100 * gain / room, "%", "at least 85"),
        Row("export of one table as CSV, two cores / one", alone, "times"),
        Row("two such exports at once / one after the other", alone_room, "times"),
        Row("memory of an export to Parquet", peak, "MB", "at most 200"),
    ]


def _gains(ways: tuple[Callable[[], float], ...]) -> tuple[float, float]:
    """Return how much sooner an export ends on two cores, and what there was to gain."""
    one, two, both = zip(*rounds(5, *ways), strict=True)
    gain = statistics.median(a / b for a, b in zip(one, two, strict=True))
    return gain, statistics.median(2 * a / b for a, b in zip(one, both, strict=True))


def _ways(database: Path, folder: Path, tables: tuple[str, ...]) -> tuple[Callable[[], float], ...]:
    """Return exports: on one core, on two, and two that have nothing to do with each other.

    The last says what the machine gives to two processes at the moment, whoever else is on it.
    """
    one, two = (partial(_export, database, folder / "out", jobs, tables) for jobs in (1, 2))
    return one, two, partial(_at_once, database, folder, tables)


def _at_once(database: Path, folder: Path, tables: tuple[str, ...]) -> float:
    context = multiprocessing.get_context("fork")
    exports = [
        context.Process(target=_export, args=(database, folder / name, 1, tables))
        for name in ("a", "b")
    ]

    def work() -> None:
        for process in exports:
            process.start()
        for process in exports:
            process.join()
            assert process.exitcode == 0, "the export failed"

    return seconds(work)


_WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def widest(folder: Path) -> list[Row]:
    """Return the memory of exports of a table with nearly as many columns as there can be."""
    forms = ("csv", "jsonl", "arrow", "parquet")
    return [
        Row(
            f"memory of an export of 64,994 columns as {form}",
            _memory(_WIDEST, folder / "out", form),
            "MB",
            "at most 200",
        )
        for form in forms
    ]


def _memory(database: Path, target: Path, form: str) -> float:
    """Return the most memory, in MB, that any process of an export has.

    A small process starts it: what a program is charged with includes what its starter had.
    """
    main = "from hotsplit.cli import main; main()"
    command = [sys.executable, "-c", main, "export", str(database), "-o", str(target)]
    watch = [sys.executable, "-c", _WATCH, *command, "--format", form]
    found = subprocess.run(watch, capture_output=True, text=True, check=True)
    shutil.rmtree(target)
    return int(found.stdout) / 1000


def _export(database: Path, target: Path, jobs: int, tables: tuple[str, ...]) -> float:
    shutil.rmtree(target, ignore_errors=True)
    with Database.open(OsEnv(), str(database)) as db:
        job = Job(OsEnv(), db, str(target), Plan("csv", tables, profile="none"))
        spent = seconds(partial(job.run, jobs))
    shutil.rmtree(target)
    return spent


def run() -> list[Row]:
    """Return all figures."""
    if importlib.util.find_spec("pyarrow") is None:
        return []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = vector("crash-p4096-ckpt")
        source = made / "recovered" / "test.edb" if made else next(example(folder).glob("*.edb"))
        fixed, mixed = folder / "fixed.edb", folder / "mixed.edb"
        usage, name = (_SRUM, _USAGE) if _SRUM.exists() else (source, "Auto64")
        grow(usage, name, ROWS, fixed)
        grow_mixed(source, ROWS, mixed)
        rows = compared(fixed, name, "fixed and variable columns", "at least 1,000,000")
        fixed.unlink()
        rows += compared(mixed, "Tagged", "tagged, long, compressed", "at least 250,000")
        mixed.unlink()
        rows += flat(source, folder)
        if _WIDEST.exists():
            rows += widest(folder)
        if (os.cpu_count() or 1) > 1:
            rows += export(source, folder)
    return rows


if __name__ == "__main__":
    for what, figure, unit, goal in run():
        print(f"{what:60} {figure:14,.1f} {unit:8} {goal}")
