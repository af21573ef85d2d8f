"""How fast rows are read: rows a second to JSON lines, and opening, beside two other readers.

Of each database the table with the most rows is read again and again until half a second is over,
one without tagged columns if there is any. The median of five rounds counts.
Run: ``python -m bench.rows DATABASE...`` (or the example that comes with the package).
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import pyesedb
from dissect.database.ese import ESE

from bench.common import Row, example
from hotsplit.errors import HotsplitError
from hotsplit.ese.export.text import RowWriter
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database

_ROUNDS, _SECONDS = 5, 0.5


def rate(work: Callable[[], int]) -> float:
    """Return units of work a second, the median of several rounds."""
    rates = []
    for _ in range(_ROUNDS):
        done, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < _SECONDS:
            done += work()
        rates.append(done / spent)
    return statistics.median(rates)


def to_jsonl(path: str, name: str) -> int:
    """Read a table and encode it; return the number of rows."""
    count = 0
    with Database.open(OsEnv(), path) as db:
        table = db.table(name)
        writer, values = RowWriter(table.columns, "jsonl"), table.values()
        while batch := list(islice(values, 500)):
            writer.encode(batch)
            count += len(batch)
    return count


def by_dissect(path: str, name: str) -> int:
    """Read a table with dissect.database; return the number of rows."""
    with Path(path).open("rb") as file:
        table = ESE(file).table(name)
        names = [c.name for c in table.columns]
        count = 0
        for record in table.records():
            str({column: record.get(column) for column in names})
            count += 1
        return count


def by_pyesedb(path: str, name: str) -> int:
    """Read a table with libesedb, values as stored; return the number of rows."""
    file = pyesedb.file()
    file.open(path)
    table = file.get_table_by_name(name)
    for i in range(table.number_of_records):
        record = table.get_record(i)
        str([record.get_value_data(c) for c in range(record.number_of_values)])
    count: int = table.number_of_records
    file.close()
    return count


def largest(path: str) -> tuple[str, int]:
    """Return name and rows of the table with the most rows, without tagged columns if any is."""
    tables = []
    with Database.open(OsEnv(), path) as db:
        for name in db.tables(system=True):
            with contextlib.suppress(HotsplitError):  # dirty: some tables are not there yet
                table = db.table(name)
                plain = not any(c.is_tagged for c in table.columns)
                count = table.count()
                tables.append((plain and count > 1000, count, name))
    _, count, name = max(tables)
    return name, count


def open_only(path: str) -> int:
    """Open and close a database."""
    Database.open(OsEnv(), path).close()
    return 1


READERS: dict[str, Callable[[str, str], int]] = {
    "hotsplit, JSON lines": to_jsonl,
    "pyesedb, raw values as text": by_pyesedb,
    "dissect.database, values as text": by_dissect,
}


def run(sources: list[Path] | None = None) -> list[Row]:
    """Return (what, figure, unit) rows for some databases."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for source in sources or [example(Path(scratch)) / "test.edb"]:
            path = str(source)
            name, count = largest(path)
            for label, reader in READERS.items():
                figure = rate(partial(reader, path, name))
                rows.append(Row(f"rows of {name} ({count}): {label}", figure, "rows/s"))
            rows.append(Row("open a database", 1e6 / rate(partial(open_only, path)), "µs"))
    return rows


if __name__ == "__main__":
    for row in run([Path(name) for name in sys.argv[1:]]):
        print(f"{row.what:80} {row.figure:12,.0f} {row.unit}")
