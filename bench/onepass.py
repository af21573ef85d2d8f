"""One pass over a database in a process of its own: how long it took, and the memory.

Run: ``python -m bench.onepass WORK FILE SCRATCH [SMALL]``; prints rows, CPU seconds, most memory in
MB. It loads nothing but the program, so that the memory is the program's. The work is done on SMALL
before, so that the time has no start of the program in it.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from hotsplit.report import Reporter

_LEAST_SECONDS = 0.3  # small databases are passed several times
FORMATS = ("parquet", "arrow", "csv", "jsonl", "sqlite")


def batches(path: str, _: Path) -> int:
    """Read all tables batch by batch."""
    with Database.open(OsEnv(), path) as db:
        return sum(batch.rows for table in db for batch in table.batches())


def rows(path: str, _: Path) -> int:
    """Read all tables row by row as Python values."""
    with Database.open(OsEnv(), path) as db:
        return sum(1 for table in db for _ in table.values())


def check(path: str, _: Path) -> int:
    """Check everything; a row is a record of any tree."""
    from hotsplit.ese.check.integrity import check_database

    result = check_database(OsEnv(), path, Reporter())
    assert not result.reporter.findings
    return result.totals.records


def export(path: str, scratch: Path, form: Any) -> int:
    """Export all tables on one core."""
    from hotsplit.ese.export.job import Job
    from hotsplit.ese.export.manifest import Plan

    target = scratch / f"out.{form}"
    with Database.open(OsEnv(), path) as db:
        report = Job(OsEnv(), db, str(target), Plan(form, profile="none")).run(1)
    assert not report.failed, report.failed[0].error
    return sum(result.rows for result in report.results)


def memory() -> float:
    """Return the most memory, in MB, that this process had since it began."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def main(work: str, path: str, scratch: str, small: str = "") -> None:
    """Do one piece of work and print what it took."""
    plain: dict[str, Callable[[str, Path], int]] = {
        "batches": batches,
        "rows": rows,
        "check": check,
    }
    do = plain.get(work) or partial(export, form=work)
    if small:
        do(small, Path(scratch))
        clear(Path(scratch))
    begun, count, spent = time.process_time(), 0, 0.0
    while spent < _LEAST_SECONDS:
        count += do(path, Path(scratch))
        spent = time.process_time() - begun
        clear(Path(scratch))
    print(count, spent, memory())


def clear(folder: Path) -> None:
    """Remove what is in a folder."""
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
