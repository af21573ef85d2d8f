"""How fast the engine inserts, commits and reads, beside SQLite in WAL mode.

Rows of about 100 bytes with a primary key, in files of this machine. What waits for no disk is
measured by processor time, so that it holds on a busy machine. Durable commits are measured in
turn with a loop that does to the disk what the log does: it overwrites the next 4 KB, a segment, of
a file that is there, and syncs. The turns are short, since the disk is not the same for long. Many
sessions run in a thread each, and then as tasks of one event loop. The same is measured where each
sync is made to last a millisecond, as on disks that are slower than this one and steadier.
Run: ``python -m bench.engine [FOLDER]``.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.common import Row, medians, rounds, seconds
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.files.env import Env, OsEnv, OsFile
from hotsplit.ese.format.columns import Coltyp, Value

_ROWS, _BATCH, _READS, _ROUNDS = 20_000, 100, 10_000, 3
_COMMITS, _TURNS, _SYNCS, _SESSIONS, _EACH, _PIECE = 400, 10, 20, 64, 20, 4096
_SLOW = 0.001  # seconds of a slow sync
_NAME = "a row of about a hundred bytes, as mail has them, number {} and text to fill it up to that"
_COLUMNS = [
    Column("Id", Coltyp.LONG, not_null=True),
    Column("Size", Coltyp.LONG),
    Column("Name", Coltyp.TEXT, code_page=1252, size=120),
]


def rate(count: int, work: Callable[[], object]) -> float:
    """Return units of work a second."""
    return count / seconds(work)


def busy(count: int, work: Callable[[], object]) -> float:
    """Return units of work a second of processor time: what waits for no disk."""
    begun = time.process_time()
    work()
    return count / (time.process_time() - begun)


class Ours:
    """The engine at work in a new folder."""

    def __init__(self, folder: Path, env: Env | None = None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        settings = Settings(str(folder), cache_size=256 << 20)
        self.instance = Instance.open(env or OsEnv(), settings)
        self.database = self.instance.create_database(str(folder / "bench.edb"))
        self.session = self.instance.session()
        self.table = self.make_table("Rows")
        self._next = 0

    def make_table(self, name: str) -> Table:
        """Make an empty table."""
        index = Index("pk", ["Id"], primary=True)
        return self.session.create_table(self.database, name, _COLUMNS, [index])

    def numbers(self, count: int) -> range:
        """Return keys that no row has."""
        self._next += count
        return range(self._next - count, self._next)

    def insert(self, *, lazy: bool) -> float:
        """Insert rows in transactions of a hundred."""
        numbers = self.numbers(_ROWS)

        def work() -> None:
            for first in numbers[::_BATCH]:
                with self.session.transaction(lazy=lazy):
                    for number in range(first, first + _BATCH):
                        self.table.insert(row(number))

        return (busy if lazy else rate)(_ROWS, work)

    def read(self) -> float:
        """Read rows by their keys, in no order."""
        numbers = random.Random(1).choices(range(self._next), k=_READS)

        def work() -> None:
            with self.session.reading():
                for number in numbers:
                    self.table.get(number)

        return busy(_READS, work)

    def scan(self) -> float:
        """Read all rows in order, in columns."""
        return busy(self._next, lambda: sum(batch.rows for batch in self.table.batches()))

    def scan_rows(self) -> float:
        """Read all rows in order, one by one."""
        return busy(self._next, lambda: sum(1 for _ in self.table.rows()))

    def commit(self, disk: Disk) -> tuple[float, float]:
        """Insert rows one by one, each durable, in turn with syncs of the disk.

        Returns commits a second, and syncs a second, both while the other one pauses.
        """
        numbers = iter(self.numbers(_COMMITS + 1))

        def insert() -> None:
            self.table.insert(row(next(numbers)))

        figures = rounds(_COMMITS, lambda: seconds(insert), lambda: seconds(lambda: disk.sync(1)))
        inserting, syncing = map(sum, zip(*figures, strict=True))
        return _COMMITS / inserting, _COMMITS / syncing

    def commits(self, count: int, each: int, disk: Disk) -> tuple[float, float]:
        """Do the same in sessions of which each has a thread, more of both in a turn."""
        turn = threading.Barrier(count + 1, timeout=60)
        shares = [self.numbers(each * (_TURNS + 1)) for _ in range(count)]
        threads = [
            threading.Thread(target=self._insert_in_turns, args=(share, each, turn))
            for share in shares
        ]
        for thread in threads:
            thread.start()

        def commit() -> None:
            turn.wait()
            turn.wait()

        figures = rounds(
            _TURNS, lambda: seconds(commit), lambda: seconds(lambda: disk.sync(_SYNCS))
        )
        for thread in threads:
            thread.join()
        committing, syncing = map(sum, zip(*figures, strict=True))
        return count * each * _TURNS / committing, _SYNCS * _TURNS / syncing

    def _insert_in_turns(self, numbers: range, each: int, turn: threading.Barrier) -> None:
        with self.instance.session() as session:
            table = session.open_table(self.database, "Rows")
            for first in numbers[::each]:
                turn.wait()
                for number in range(first, first + each):
                    table.insert(row(number))
                turn.wait()

    def commits_of_tasks(self, count: int, each: int, disk: Disk) -> tuple[float, float]:
        """Do the same in sessions of tasks of one event loop."""

        def commit() -> None:
            asyncio.run(self._insert_in_tasks([self.numbers(each) for _ in range(count)]))

        figures = rounds(
            _TURNS, lambda: seconds(commit), lambda: seconds(lambda: disk.sync(_SYNCS))
        )
        committing, syncing = map(sum, zip(*figures, strict=True))
        return count * each * _TURNS / committing, _SYNCS * _TURNS / syncing

    async def _insert_in_tasks(self, shares: list[range]) -> None:
        await asyncio.gather(*map(self._insert_in_task, shares))

    async def _insert_in_task(self, numbers: range) -> None:
        with self.instance.session() as session:
            table = session.open_table(self.database, "Rows")
            for number in numbers:
                async with session.transaction():
                    table.insert(row(number))


class Sqlite:
    """The same on SQLite in WAL mode."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.db = sqlite3.connect(folder / "bench.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA cache_size=-262144")
        self.db.execute("CREATE TABLE r (id INTEGER PRIMARY KEY, size INTEGER, name TEXT)")
        self._next = 0

    def insert(self, *, lazy: bool) -> float:
        """Insert rows in transactions of a hundred."""
        self.db.execute(f"PRAGMA synchronous={'NORMAL' if lazy else 'FULL'}")
        first = self._next
        self._next += _ROWS

        def work() -> None:
            for start in range(first, first + _ROWS, _BATCH):
                self.db.execute("BEGIN")
                for number in range(start, start + _BATCH):
                    values = (number, number * 7 % 1000, _NAME.format(number))
                    self.db.execute("INSERT INTO r VALUES (?, ?, ?)", values)
                self.db.execute("COMMIT")

        return (busy if lazy else rate)(_ROWS, work)

    def scan(self) -> float:
        """Read all rows in order."""
        return busy(self._next, lambda: self.db.execute("SELECT * FROM r").fetchall())

    def read(self) -> float:
        """Read rows by their keys, in no order."""
        numbers = random.Random(1).choices(range(self._next), k=_READS)

        def work() -> None:
            for number in numbers:
                self.db.execute("SELECT * FROM r WHERE id = ?", (number,)).fetchone()

        return busy(_READS, work)


def row(number: int) -> dict[str, Value]:
    """Return a row."""
    return {"Id": number, "Size": number * 7 % 1000, "Name": _NAME.format(number)}


def lasting(seconds_: float, work: Callable[[], None]) -> None:
    """Do some work; return no earlier than after so many seconds."""
    end = time.perf_counter() + seconds_
    work()
    time.sleep(max(0.0, end - time.perf_counter()))


class SlowFile(OsFile):
    """A file whose syncs last a while, as far as the interpreter is concerned like real ones."""

    def sync(self) -> None:
        """See `File`."""
        lasting(_SLOW, super().sync)


class Disk:
    """A file that is overwritten piece by piece, each one durable.

    least: seconds that a sync is made to last.
    """

    def __init__(self, path: Path, least: float = 0.0) -> None:
        self._least = least
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._at = 0
        os.pwrite(self._fd, bytes(_PIECE * (2 * _SYNCS * (_TURNS + 1) + _COMMITS + 1)), 0)
        os.fsync(self._fd)

    def sync(self, count: int) -> None:
        """Overwrite and sync as often as told."""
        for _ in range(count):
            os.pwrite(self._fd, bytes(_PIECE), self._at)
            if self._least:
                lasting(self._least, partial(os.fdatasync, self._fd))
            else:
                os.fdatasync(self._fd)
            self._at += _PIECE

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def opening(folder: Path) -> float:
    """Return the milliseconds that an instance needs to open after a clean end."""
    begun = time.perf_counter()
    instance = Instance.open(OsEnv(), Settings(str(folder)))
    instance.attach_database(str(folder / "bench.edb"))
    spent = time.perf_counter() - begun
    instance.close()
    return spent * 1000


def durable_commits(ours: Ours, disk: Disk, how: str = "") -> list[Row]:
    """Measure commits of one session, and of many as threads and as tasks."""
    single, beside_single = ours.commit(disk)
    threads, beside_threads = ours.commits(_SESSIONS, _EACH, disk)
    tasks, beside_tasks = ours.commits_of_tasks(_SESSIONS, _EACH, disk)
    return [
        Row(f"durable commits of one row, one session{how}", single, "1/s"),
        Row("the disk's syncs meanwhile", beside_single, "1/s"),
        Row("share of the disk's syncs", single / beside_single, "", "at least 0.8"),
        Row(f"durable commits of one row, {_SESSIONS} sessions, threads{how}", threads, "1/s"),
        Row("the disk's syncs meanwhile", beside_threads, "1/s"),
        Row("times the disk's syncs", threads / beside_threads, "", "at least 10"),
        Row(f"durable commits of one row, {_SESSIONS} sessions, tasks{how}", tasks, "1/s"),
        Row("the disk's syncs meanwhile", beside_tasks, "1/s"),
        Row("times the disk's syncs", tasks / beside_tasks, "", "at least 10"),
    ]


def run(folder: str | None = None) -> list[Row]:
    """Measure in a new folder inside `folder`."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        path = Path(made)
        ours, other = Ours(path / "ours"), Sqlite(path / "sqlite")
        lazy, other_lazy = medians(
            _ROUNDS, partial(ours.insert, lazy=True), partial(other.insert, lazy=True)
        )
        durable, other_durable = medians(
            _ROUNDS, partial(ours.insert, lazy=False), partial(other.insert, lazy=False)
        )
        read, other_read = medians(_ROUNDS, ours.read, other.read)
        scan, scan_rows, other_scan = medians(_ROUNDS, ours.scan, ours.scan_rows, other.scan)
        disk = Disk(path / "sync")
        commits = durable_commits(ours, disk)
        disk.close()
        ours.instance.close()
        slow = Ours(path / "slow", OsEnv(SlowFile))
        disk = Disk(path / "sync", _SLOW)
        commits += durable_commits(slow, disk, ", syncs of 1 ms")
        disk.close()
        slow.instance.close()
        (open_,) = medians(_ROUNDS, partial(opening, path / "ours"))
    return [
        Row("inserts in transactions of 100, lazy commits", lazy, "rows/CPU-s", "at least 50,000"),
        Row("the same on SQLite, synchronous=NORMAL", other_lazy, "rows/CPU-s"),
        Row("inserts in transactions of 100, durable commits", durable, "rows/s"),
        Row("the same on SQLite, synchronous=FULL", other_durable, "rows/s"),
        Row("point reads from cache", read, "rows/CPU-s", "at least 20,000"),
        Row("the same on SQLite", other_read, "rows/CPU-s"),
        Row("sequential scan to columns", scan, "rows/CPU-s", "at least 500,000"),
        Row("sequential scan to dictionaries", scan_rows, "rows/CPU-s"),
        Row("the same on SQLite, to tuples", other_scan, "rows/CPU-s"),
        *commits,
        Row("opening after a clean end", open_, "ms", "below 50"),
    ]


if __name__ == "__main__":
    for found in run(*sys.argv[1:2]):
        print(f"{found.what}: {found.figure:,.2f} {found.unit} {found.goal}")
