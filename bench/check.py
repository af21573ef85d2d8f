"""The integrity check of a large database, on one core, and the memory that it takes.

The databases are written by `bench.bigdb`: rows of about 110 bytes, three indexes, long values.
Speed is that of the whole check in this process, file in the page cache; memory is the peak of a
process of its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.bigdb import build
from bench.common import Row, medians
from hotsplit.ese.check.integrity import CheckResult, check_database
from hotsplit.ese.files.env import OsEnv
from hotsplit.report import Reporter

MEGABYTES = 150
PAGE_SIZES = (4096, 8192, 32768)
ROUNDS = 3
_SIZES = (15, 300)


def run() -> list[Row]:
    """Return speed for three page sizes and memory for a small and a large file."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "big.edb"
        for page_size in PAGE_SIZES:
            build(path, MEGABYTES, page_size)
            figures = medians(ROUNDS, lambda: _check(path).megabytes_per_second)
            label = f"{page_size // 1024} KB pages"
            rows.append(Row(f"check, {label}", figures[0], "MB/s", "at least 100"))
        result = _check(path)
        things = result.totals.records + result.totals.index_entries
        rows.append(Row("records and index entries", things / result.seconds / 1e6, "million/s"))
        for megabytes in _SIZES:
            build(path, megabytes, 4096)
            size = path.stat().st_size / 1e6
            what = f"peak memory, file of {size:.0f} MB"
            rows.append(Row(what, _memory(path), "MB", "under 200"))
    return rows


def _check(path: Path) -> CheckResult:
    result = check_database(OsEnv(), str(path), Reporter())
    assert not result.reporter.findings, result.reporter.findings[:3]
    return result


def _memory(path: Path) -> float:
    """Return the peak memory of a check in MB."""
    command = [sys.executable, "-m", "bench.check", str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _check(Path(sys.argv[1]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
    else:
        for row in run():
            print(*row)
