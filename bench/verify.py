"""Verify beside a plain read of the same warm file, one core.

The file is grown from the pages of a real database, stamped for their new places, for every page
size at hand.
Run: ``python -m bench.verify DATABASE...`` (or the example that comes with the package).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.common import Row, example, rounds, seconds, vector
from hotsplit.ese.check.databasescan import BATCH, scan_database
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.checksum import stamp
from hotsplit.report import Reporter

FILE_SIZE = 500 * 10**6
ROUNDS = 5
_VECTORS = ("crash-p8192-mid", "crash-p16384-mid", "crash-p32768-mid")


def run(sources: list[Path] | None = None) -> list[Row]:
    """Return speeds and their ratio for databases grown from `sources`."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for source in sources or _sources(Path(scratch)):
            big = Path(scratch) / "big.edb"
            size = _grow(source, big)
            figures = rounds(ROUNDS, _speed(_read, big), _speed(_verify, big))
            big.unlink()
            read, verify = map(statistics.median, zip(*figures, strict=True))
            ratio = statistics.median(b / a for a, b in figures)
            label = f"{size // 1024} KB pages"
            rows += [
                Row(f"plain read, {label}", read, "GB/s"),
                Row(f"verify, {label}", verify, "GB/s", "at least 2"),
                Row(f"  verify of a plain read, {label}", 100 * ratio, "%", "at least 80"),
            ]
    return rows


def _sources(scratch: Path) -> list[Path]:
    """Return a database of each page size that there is here."""
    folders = [folder for name in _VECTORS if (folder := vector(name)) is not None]
    return [example(scratch) / "test.edb", *(folder / "crash" / "test.edb" for folder in folders)]


def _speed(call: Callable[[Path], int], path: Path) -> Callable[[], float]:
    """Return a call that tells the speed of `call` in GB/s."""

    def speed() -> float:
        size = path.stat().st_size
        return size / 1e9 / seconds(lambda: call(path))

    return speed


def _grow(source: Path, target: Path) -> int:
    """Repeat the used pages of a database up to FILE_SIZE; return the page size."""
    with DatabaseFile.open(OsEnv(), str(source)) as file:
        size = file.page_size
        pages = [file.read_raw(number) for number in range(1, file.page_count + 1)]
        pages = [page for page in pages if any(page)]
        header = file.header.sealed()
    with target.open("wb") as out:
        out.write(header * 2)
        for number in range(1, FILE_SIZE // size - 1):
            page = bytearray(pages[(number - 1) % len(pages)])
            if size >= 16384:
                page[64:68] = number.to_bytes(4, "little")
            stamp(page, number)
            out.write(page)
    return size


def _read(path: Path) -> int:
    file = OsEnv().open(str(path), "read")
    try:
        size = file.size()
        for offset in range(0, size, BATCH):
            file.pread(BATCH, offset)
        return size
    finally:
        file.close()


def _verify(path: Path) -> int:
    result = scan_database(OsEnv(), str(path), Reporter())
    assert not result.bad, result.reporter.findings[:3]
    return result.bytes


if __name__ == "__main__":
    for row in run([Path(name) for name in sys.argv[1:]]):
        print(f"{row.what:<40} {row.figure:8.1f} {row.unit}")
