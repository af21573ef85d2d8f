"""The Python API in a handful of calls; everything behind them can be imported, too.

For databases that are written see `hotsplit.engine` and `hotsplit.backup`.

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

import contextlib
import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from hotsplit.ese.check.integrity import CheckResult, check_database
from hotsplit.ese.check.result import ScanResult
from hotsplit.ese.check.scan import scan_file
from hotsplit.ese.export.job import Job, Report
from hotsplit.ese.export.manifest import Plan
from hotsplit.ese.export.titles import named_table, profile_of
from hotsplit.ese.export.view import make_view
from hotsplit.ese.export.writers import Format, format_of
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.sorttablefile import read_sort_table
from hotsplit.ese.format import sorttable
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import State
from hotsplit.ese.read.pages import RunSource
from hotsplit.ese.rebuild import compact as compaction
from hotsplit.ese.rebuild import repair as repairing
from hotsplit.ese.rebuild import scrub as scrubbing
from hotsplit.ese.rebuild.compact import Compacted
from hotsplit.ese.rebuild.losses import Repaired
from hotsplit.ese.rebuild.scrub import Scrubbed
from hotsplit.ese.recovery import assess as assessment
from hotsplit.ese.recovery import recover as recovery
from hotsplit.ese.recovery.assess import Verdict
from hotsplit.ese.recovery.events import Watch
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import Recovered
from hotsplit.ese.recovery.replayed import open_replayed, pages_of
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


def rows(
    path: Path,
    table: str,
    *,
    columns: Iterable[str] = (),
    where: Iterable[str] = (),
    include: Iterable[str] = (),
    profile: str = "auto",
    replay: bool = False,
    logs: Paths = (),
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table with the meanings that a profile gives to its values.

    table: its name, or its title in the profile. columns: all if empty. where: conditions that all
    must be met, as of the command. include: rows that are not live, too, which are labelled:
    "deleted", "orphaned", "carved". replay, logs: as in `open`.
    """
    states = tuple(State(state) for state in include)
    with open(path, replay=replay, logs=logs) as db:
        chosen = profile_of(OsEnv(), profile, db)
        named = named_table(db, table, chosen)
        view = make_view(db, named, chosen, columns=list(columns) or None, include=states)
        for values in view.rows(where=list(where)):
            yield dict(zip(view.names, values, strict=True))


def check(path: Path, *, limit: int = 1000) -> CheckResult:
    """Check a database against all rules; it is only read. See `CheckResult.is_damaged`.

    limit: most findings of a rule that are kept; all are counted.
    """
    return check_database(OsEnv(), os.fspath(path), Reporter(limit=limit))


def compact(path: Path, into: Path, *, replay: bool = False, logs: Paths = ()) -> Compacted:
    """Write a sound database anew: in order, tightly packed, without what is deleted.

    replay, logs: as in `open`.
    """
    with _pages(path, replay, logs) as source:
        return compaction.compact(OsEnv(), source, os.fspath(path), os.fspath(into))


def repair(path: Path, into: Path, *, replay: bool = False, logs: Paths = ()) -> Repaired:
    """Write everything readable of a damaged database into a new one; tell what is lost.

    replay, logs: as in `open`; without them a dirty database is taken as it lies.
    """
    with _pages(path, replay, logs) as source:
        return repairing.repair(OsEnv(), source, os.fspath(path), os.fspath(into))


def scrub(path: Path, into: Path, *, replay: bool = False, logs: Paths = ()) -> Scrubbed:
    """Copy a sound database without what was deleted. replay, logs: as in `open`."""
    with _pages(path, replay, logs) as source:
        return scrubbing.scrub(OsEnv(), source, os.fspath(path), os.fspath(into))


def export(
    path: Path,
    output: Path,
    tables: Iterable[str] = (),
    *,
    form: Format | None = None,
    columns: Iterable[str] = (),
    include: Iterable[str] = (),
    profile: str = "auto",
    replay: bool = False,
    logs: Paths = (),
    jobs: int | None = None,
    overwrite: bool = False,
) -> Report:
    """Write tables to files that other programs read; return what came of each.

    output: a folder, or a file for SQLite or one table. tables: all if empty. form: by the suffix
    of `output` unless given. include: rows that are not live, too: "deleted", "orphaned",
    "carved". profile: as `--profile` of the command. jobs: processes, one a core unless given.
    replay, logs: as in `open`.
    """
    states = tuple(State(state) for state in include)
    chosen = form or format_of(os.fspath(output))
    plan = Plan(chosen, tuple(tables), tuple(columns), states, profile)
    opener = partial(open, os.fspath(path), replay=replay, logs=tuple(_list(logs)))
    with opener() as db:
        job = Job(OsEnv(), db, os.fspath(output), plan, opener=opener)
        return job.run(jobs or os.cpu_count() or 1, overwrite=overwrite)


def verify(path: Path) -> ScanResult:
    """Check every page of a database, or every segment of a log; see `ScanResult.is_damaged`."""
    return scan_file(OsEnv(), os.fspath(path), Reporter())


def use_sort_table(path: Path | None) -> None:
    """Make and compare keys of Unicode text with a table of Windows (SortDefault.nls) from now on.

    It holds for the whole process; None goes back to what is built in.
    """
    table = None if path is None else read_sort_table(OsEnv(), os.fspath(path))
    sorttable.use_sort_table(table)


def _pages(path: Path, replay: bool, logs: Paths) -> contextlib.AbstractContextManager[RunSource]:
    return pages_of(OsEnv(), os.fspath(path), _list(logs), replay=replay)


def _list(paths: Paths) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(path) for path in paths]
