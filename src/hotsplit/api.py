"""The Python API in a handful of calls; everything behind them can be imported, too.

    import hotsplit

    verdict = hotsplit.assess("/snapshots/mail")
    if verdict.recoverable:
        hotsplit.recover("/snapshots/mail", into="/restore/mail")
    with hotsplit.open("/restore/mail/mail.edb") as db:
        for row in db.table("Messages").rows():
            ...

Paths are strings or path objects. Every call raises `hotsplit.HotsplitError` and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from hotsplit.ese.check.result import ScanResult
from hotsplit.ese.check.scan import scan_file
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.sorttablefile import read_sort_table
from hotsplit.ese.format import sorttable
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery import assess as assessment
from hotsplit.ese.recovery import recover as recovery
from hotsplit.ese.recovery.assess import Verdict
from hotsplit.ese.recovery.events import Watch
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import Recovered
from hotsplit.ese.recovery.replayed import open_replayed
from hotsplit.report import Reporter

Path = str | os.PathLike[str]
Paths = Path | Iterable[Path]


def open(path: Path, *, replay: bool = False, logs: Paths = (), **options: Any) -> Database:
    """Open a database for reading.

    replay: read it as recovery would leave it; its logs are beside it or in `logs`, and nothing is
    written. Without it a dirty database is read as it lies (`Database.is_dirty`).
    options: fields of `Options`.
    """
    if replay:
        return open_replayed(OsEnv(), os.fspath(path), _list(logs), Options(**options))
    return Database.open(OsEnv(), os.fspath(path))


def assess(sources: Paths, logs: Paths = (), **options: Any) -> Verdict:
    """Say whether databases can be recovered, how far, and why not. options: see `Options`."""
    return assessment.assess(OsEnv(), _list(sources), _list(logs), Options(**options))


def recover(
    sources: Paths, into: Path, logs: Paths = (), *, watch: Watch | None = None, **options: Any
) -> Recovered:
    """Recover copies of databases into a new folder; the sources are only read.

    options: fields of `Options`, e.g. ``accept_lost_logs=True``.
    """
    arguments = OsEnv(), _list(sources), _list(logs), os.fspath(into)
    return recovery.recover(*arguments, Options(**options), watch)


def verify(path: Path) -> ScanResult:
    """Check every page of a database, or every segment of a log; see `ScanResult.is_damaged`."""
    return scan_file(OsEnv(), os.fspath(path), Reporter())


def use_sort_table(path: Path | None) -> None:
    """Make and compare keys of Unicode text with a table of Windows (SortDefault.nls) from now on.

    It holds for the whole process; None goes back to what is built in.
    """
    table = None if path is None else read_sort_table(OsEnv(), os.fspath(path))
    sorttable.use_sort_table(table)


def _list(paths: Paths) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(path) for path in paths]
