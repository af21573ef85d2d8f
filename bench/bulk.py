"""Bulk loads of the engine, the memory they take, and recovery of their logs, beside SQLite.

Four kinds of rows: of about 100 bytes, the same with two more indexes, of 1 KB, and with a long
value of 60 KB; the loads of rows are of 100 MB, that of long values of 1 GB in pages of 32 KB. Rows
are made one by one and given to `Table.insert_many`, with lazy commits. Times are processor
seconds, so that they hold on a busy machine; each piece of work runs in a process of its own, so
that its memory can be told. SQLite does the same in WAL mode with synchronous=NORMAL, by
`executemany`; its recovery is not measured.
Run: ``python -m bench.bulk``; ``python -m bench.bulk WORK KIND FOLDER`` is one piece of work.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.common import Row
from bench.onepass import memory
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.recovery.recover import recover

_CACHE = 64 << 20
_NUMBERS = 8  # bytes of the two numbers of a row


class Kind(NamedTuple):
    """A kind of rows. size: bytes of the value; each: rows of a transaction; load, logs: MB.

    indexed: two more indexes: one in the order of the rows, one in another order.
    """

    what: str
    size: int
    each: int
    page_size: int
    load: int
    logs: int
    indexed: bool = False


KINDS = {
    "rows": Kind("rows of 100 bytes", 80, 1000, 8192, 100, 64),
    "indexed": Kind("rows of 100 bytes, two more indexes", 80, 1000, 8192, 50, 64, indexed=True),
    "messages": Kind("rows of 1 KB", 1000, 200, 8192, 100, 64),
    "bodies": Kind("long values of 60 KB", 60_000, 10, 32768, 1000, 128),
}
_NAMES = ["Id", "Size", "Value"]
_STEP = 7919  # from one row to the next in the other order
GOALS = {"rows": 50, "bodies": 150}


def _settings(kind: Kind, folder: str, **more: int) -> Settings:
    return Settings(
        folder, page_size=kind.page_size, log_size=4 << 20, circular="depth" not in more,
        cache_size=more.get("cache", _CACHE), checkpoint_depth=more.get("depth", 20 << 20),
    )  # fmt: skip


def _table(kind: Kind, instance: Instance, folder: str) -> Table:
    coltyp = Coltyp.BINARY if kind.size < 255 else Coltyp.LONG_BINARY
    columns = [
        Column("Id", Coltyp.LONG, not_null=True),
        Column("Size", Coltyp.LONG),
        Column("Value", coltyp),
    ]
    database = instance.create_database(f"{folder}/bulk.edb")
    with instance.session() as session:
        indexes = [Index("pk", ["Id"], primary=True)]
        if kind.indexed:
            indexes += [Index("by_size", ["Size"]), Index("id_down", ["-Id"], unique=True)]
        session.create_table(database, "Rows", columns, indexes)
    return instance.session().open_table(database, "Rows")


def _insert(kind: Kind, table: Table, megabytes: int) -> float:
    """Insert rows until their values have so many bytes; return the bytes inserted."""
    for rows in _transactions(kind, megabytes):
        with table.session.transaction(lazy=True):
            table.insert_many(rows, _NAMES)
    return _count(kind, megabytes) * (kind.size + _NUMBERS)


def _transactions(kind: Kind, megabytes: int) -> Iterator[Iterator[tuple[int, int, bytes]]]:
    """Yield the rows of each transaction."""
    value, count = random.Random(1).randbytes(kind.size), _count(kind, megabytes)
    for first in range(0, count, kind.each):
        numbers = range(first, first + kind.each)
        yield ((number, number * _STEP % 100_000, value) for number in numbers)


def _count(kind: Kind, megabytes: int) -> int:
    """Return how many rows have so many bytes, in whole transactions."""
    each = kind.each * (kind.size + _NUMBERS)
    return -int(-megabytes * 1e6 // each) * kind.each


def load(kind: Kind, folder: str) -> dict[str, float]:
    """Load a table; the end of the instance, which writes all pages, is part of it."""
    before, begun = memory(), time.process_time()
    with Instance.open(OsEnv(), _settings(kind, folder)) as instance:
        size = _insert(kind, _table(kind, instance, folder), kind.load)
    busy = time.process_time() - begun
    peak = memory()
    opened = statistics.median(_opening(kind, folder) for _ in range(5))
    return {"speed": size / 1e6 / busy, "memory": peak - before, "open": opened * 1000}


def _opening(kind: Kind, folder: str) -> float:
    """Return the seconds that an instance needs to open after a clean end."""
    begun = time.perf_counter()
    with Instance.open(OsEnv(), _settings(kind, folder)) as instance:
        instance.attach_database(f"{folder}/bulk.edb")
        return time.perf_counter() - begun


def other_load(kind: Kind, folder: str) -> dict[str, float]:
    """Load the same into SQLite."""
    begun, count = time.process_time(), _count(kind, kind.load)
    db = sqlite3.connect(f"{folder}/bulk.db", isolation_level=None)
    for setting in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-65536"):
        db.execute(f"PRAGMA {setting}")
    db.execute("CREATE TABLE r (id INTEGER PRIMARY KEY, size INTEGER, value BLOB)")
    if kind.indexed:
        db.execute("CREATE INDEX by_size ON r (size)")
        db.execute("CREATE UNIQUE INDEX id_down ON r (id DESC)")
    for rows in _transactions(kind, kind.load):
        db.execute("BEGIN")
        db.executemany("INSERT INTO r VALUES (?, ?, ?)", rows)
        db.execute("COMMIT")
    db.close()
    busy = time.process_time() - begun
    return {"speed": count * (kind.size + _NUMBERS) / 1e6 / busy}


def write_logs(kind: Kind, folder: str) -> dict[str, float]:
    """Leave logs that a crash left, and a database in which nearly nothing was written."""
    settings = _settings(kind, folder, cache=1 << 30, depth=1 << 30)
    instance = Instance.open(OsEnv(), settings)
    _insert(kind, _table(kind, instance, folder), kind.logs)
    instance.context.log.flush()
    print("{}", flush=True)
    os._exit(0)


def recover_logs(_: Kind, folder: str) -> dict[str, float]:
    """Recover into a new folder."""
    begun = time.process_time()
    result = recover(OsEnv(), [folder], [folder], f"{folder}/into")
    return {"speed": result.volume / 1e6 / (time.process_time() - begun)}


WORK: dict[str, Callable[[Kind, str], dict[str, float]]] = {
    "load": load,
    "other": other_load,
    "logs": write_logs,
    "recover": recover_logs,
}


def _apart(work: str, kind: str, folder: str) -> dict[str, float]:
    """Do a piece of work in a process of its own."""
    command = [sys.executable, "-m", "bench.bulk", work, kind, folder]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(text)
    return found


def run(folder: str | None = None) -> list[Row]:
    """Measure in new folders inside `folder`."""
    rows = []
    for name, kind in KINDS.items():
        with tempfile.TemporaryDirectory(dir=folder) as made:
            found, other = _apart("load", name, made), _apart("other", name, made)
        with tempfile.TemporaryDirectory(dir=folder) as made:
            _apart("logs", name, made)
            recovery = _apart("recover", name, made)
        goal = f"at least {GOALS[name]}" if name in GOALS else ""
        aim = "" if kind.indexed else "at least 30"
        cache = f"below {_CACHE / 1e6:.0f} + 100"
        rows += [
            Row(f"bulk load, {kind.what}", found["speed"], "MB/CPU-s", aim),
            Row("  the same on SQLite", other["speed"], "MB/CPU-s"),
            Row("  memory more than before", found["memory"], "MB", cache),
            Row(f"  opening the {kind.load} MB after a clean end", found["open"], "ms", "below 50"),
            Row(f"recovery of own logs, {kind.what}", recovery["speed"], "MB/CPU-s", goal),
        ]
    return rows


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(WORK[sys.argv[1]](KINDS[sys.argv[2]], sys.argv[3])))
    else:
        for row in run():
            print(f"{row.what}: {row.figure:,.1f} {row.unit} {row.goal}")
