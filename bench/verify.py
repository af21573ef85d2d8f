"""Speed of verify beside a plain read of the same warm file, for each page size.

The file is grown from the pages of a real database, stamped for their new places. Each pair of
runs is made side by side, so that a noisy machine slows both; the median of five counts.
Run: ``python bench/verify.py DATABASE...`` (or the example that comes with the package).
"""

from __future__ import annotations

import importlib.resources
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hotsplit.ese.check.databasescan import BATCH, scan_database
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.checksum import stamp
from hotsplit.report import Reporter

FILE_SIZE = 500 * 10**6
RUNS = 5
Row = tuple[str, float, str]


def run(sources: list[Path] | None = None) -> list[Row]:
    """Return (what, figure, unit) rows for databases grown from `sources`."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for source in sources or [_example(Path(scratch))]:
            big = Path(scratch) / "big.edb"
            size = _grow(source, big)
            read, verify = _side_by_side(big, _read, _verify)
            big.unlink()
            label = f"{size // 1024} KB pages"
            rows += [
                (f"plain read, {label}", read, "GB/s"),
                (f"verify, {label}", verify, "GB/s"),
                (f"verify / plain read, {label}", 100 * verify / read, "%"),
            ]
    return rows


def _example(folder: Path) -> Path:
    archive = importlib.resources.files("hotsplit") / "example" / "hotsplit.tar.xz"
    with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:xz") as tar:
        tar.extractall(folder, filter="data")
    return next(folder.rglob("*.edb"))


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


def _side_by_side(path: Path, *calls: Callable[[Path], int]) -> list[float]:
    """Return the median speed of each call in GB/s, after one run to warm up."""
    speeds: list[list[float]] = [[] for _ in calls]
    for number in range(RUNS + 1):
        for call, found in zip(calls, speeds, strict=True):
            begun = time.perf_counter()
            size = call(path)
            if number:
                found.append(size / 1e9 / (time.perf_counter() - begun))
    return [statistics.median(found) for found in speeds]


if __name__ == "__main__":
    for what, figure, unit in run([Path(name) for name in sys.argv[1:]]):
        print(f"{what:<40} {figure:8.1f} {unit}")
