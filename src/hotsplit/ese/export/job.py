"""Exporting a database: every table into a file, one after the other or on several cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from hotsplit.errors import HotsplitError, InvalidUse, TargetExists
from hotsplit.ese.export.files import file_name
from hotsplit.ese.export.manifest import Manifest, Plan, Result, identity
from hotsplit.ese.export.profiles import Profile, choose
from hotsplit.ese.export.schema import column_entries
from hotsplit.ese.export.sqlite import merge_sqlite
from hotsplit.ese.export.view import make_view
from hotsplit.ese.export.writers import COLUMNAR, write_table
from hotsplit.ese.files.env import Env
from hotsplit.ese.read.arrow import load_pyarrow
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.pages import CountedPages
from hotsplit.ese.read.table import Table
from hotsplit.report import Reporter

_POLL = 0.2
_MOST_FINDINGS = 100
Opener = Callable[[], Database]
Tick = Callable[[int], None]


@dataclass
class Report:
    """What came of an export. findings: damage in what describes the tables."""

    target: str
    profile: str
    results: list[Result]
    findings: list[dict[str, Any]]

    @property
    def failed(self) -> list[Result]:
        """The tables that could not be exported."""
        return [result for result in self.results if result.error is not None]


class Job:
    """The export of one database.

    db: the database, open until the export is done. opener: opens it once more, for a process that
    cannot inherit it. target: a folder, or a file for SQLite or where one table is named.
    """

    def __init__(
        self, env: Env, db: Database, target: str, plan: Plan, *, opener: Opener | None = None
    ) -> None:
        self._env, self._db, self._target, self._plan = env, db, target, plan
        self._opener = opener
        self.profile = choose(env, plan.profile, db.tables(system=True))
        self._names = self._tables(db)
        self._sizes = [page_estimate(db.table(name)) for name in self._names]
        self._identity = identity(env, db)
        if plan.form in ("parquet", "arrow"):
            load_pyarrow()  # tell at once that it is missing
        if plan.columns and len(self._names) != 1:
            raise InvalidUse("Columns can be named for one table only")
        if plan.columns_per_file and plan.form not in COLUMNAR:
            raise InvalidUse(f"A table is one file in {plan.form}, whatever its columns")
        self._single = bool(plan.tables) and len(self._names) == 1 and self._is_file(target)

    @property
    def pages(self) -> int:
        """About how many pages are to be read."""
        return sum(self._sizes)

    def _tables(self, db: Database) -> list[str]:
        if self._plan.tables:
            return list(dict.fromkeys(db.table(name).name for name in self._plan.tables))
        entries = db.tables(system=self._plan.system)
        return [name for name in entries if not db.table(name).definition.is_template]

    def _is_file(self, target: str) -> bool:
        return target.lower().endswith("." + self._plan.form) and not self._env.is_dir(target)

    def run(self, jobs: int = 1, tick: Tick | None = None, *, overwrite: bool = False) -> Report:
        """Export all tables. tick: called with pages read. overwrite: forget an earlier export.

        Raises TargetExists if something else is at the target; what concerns one table is in its
        result, and the others are exported all the same.
        """
        tick = tick or (lambda _: None)
        if self._single:
            results = [self._one(self._names[0], self._target, tick)]
        elif self._plan.form == "sqlite":
            results = self._run_sqlite(jobs, tick, overwrite)
        else:
            results = self._run_folder(self._target, jobs, tick, overwrite)
        name = self.profile.name if self.profile else "none"
        return Report(self._target, name, results, self._findings())

    def _findings(self) -> list[dict[str, Any]]:
        return [finding.as_json() for finding in self._db.reporter.findings[:_MOST_FINDINGS]]

    def _run_sqlite(self, jobs: int, tick: Tick, overwrite: bool) -> list[Result]:
        """Write each table into a database of its own, then all into one."""
        env, target = self._env, self._target
        folder = target + ".parts"
        if env.exists(target) and not overwrite and not env.exists(folder):
            raise TargetExists("There is a file already", file=target, hint="Use --overwrite.")
        results = self._run_folder(folder, jobs, tick, overwrite)
        good = [r for r in results if r.error is None]
        parts = [(f"{folder}/{result.file}", result.title) for result in good]
        merge_sqlite(env, parts, target)
        for result in good:
            result.file = os.path.basename(target)  # noqa: PTH119 - paths are plain strings
        if len(good) == len(results):
            env.remove_tree(folder)
        return results

    def _run_folder(self, folder: str, jobs: int, tick: Tick, overwrite: bool) -> list[Result]:
        manifest = Manifest(self._env, folder, self._identity, self._plan)
        done = {} if overwrite else manifest.load()
        manifest.begin(done)
        taken: set[str] = set()
        todo: list[tuple[int, str, str]] = []
        results: dict[str, Result] = {}
        for size, name in zip(self._sizes, self._names, strict=True):
            file = f"{file_name(self._title(name), taken)}.{self._plan.form}"
            if name in done:
                results[name] = replace(done[name], kept=True)
                tick(size)
            else:
                todo.append((size, name, file))
        todo.sort(reverse=True)
        for result in self._export(folder, todo, jobs, tick):
            results[result.table] = result
            manifest.add(result)
        ordered = [results[name] for name in self._names]
        complete = all(result.error is None for result in ordered)
        manifest.finish(complete, self._findings())
        return ordered

    def _title(self, name: str) -> str:
        return (self.profile.table(name).title if self.profile else "") or name

    def _export(
        self, folder: str, todo: list[tuple[int, str, str]], jobs: int, tick: Tick
    ) -> Iterator[Result]:
        jobs = min(jobs, len(todo))
        method = _start_method()
        if jobs > 1 and (method == "fork" or self._opener is not None):
            yield from self._parallel(folder, todo, jobs, tick)
            return
        for size, name, file in todo:
            with _bounded(tick, size) as inside:
                yield self._one(name, f"{folder}/{file}", inside)

    def _one(self, name: str, path: str, tick: Tick) -> Result:
        return export_table(self._env, self._db, name, path, self._plan, self.profile, tick)

    def _parallel(
        self, folder: str, todo: list[tuple[int, str, str]], jobs: int, tick: Tick
    ) -> Iterator[Result]:
        method = _start_method()
        context = multiprocessing.get_context(method)
        counter = context.Value("Q", 0)
        opener = self._opener
        if method == "fork":
            _worker.database, opener = self._db, None
        with ProcessPoolExecutor(jobs, context, _begin_worker, (counter, opener)) as pool:
            futures = [
                pool.submit(
                    _in_worker, self._env, name, f"{folder}/{file}", self._plan, self.profile
                )
                for _, name, file in todo
            ]
            try:
                yield from _collect(futures, counter, tick)
            except BaseException:
                for future in futures:
                    future.cancel()
                raise


def _collect(futures: Sequence[Future[Result]], counter: Any, tick: Tick) -> Iterator[Result]:
    """Yield results as they come; report pages meanwhile."""
    waiting, seen = set(futures), 0
    while waiting:
        done, waiting = wait(waiting, _POLL, FIRST_COMPLETED)
        now = counter.value
        tick(now - seen)
        seen = now
        yield from (future.result() for future in done)


def _start_method() -> str:
    """Fork where nothing speaks against it: it is quick and needs nothing of the caller."""
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    return "fork" if can_fork and threading.active_count() == 1 else "spawn"


class _Worker:
    """What a process has: its database, inherited or opened, and the counter of all."""

    database: Database | None = None
    counter: Any = None


_worker = _Worker()


def _begin_worker(counter: Any, opener: Opener | None) -> None:
    _worker.counter = counter
    if opener is not None:
        _worker.database = opener()


def _count(pages: int) -> None:
    with _worker.counter.get_lock():
        _worker.counter.value += pages


def _in_worker(env: Env, name: str, path: str, plan: Plan, profile: Profile | None) -> Result:
    assert _worker.database is not None
    return export_table(env, _worker.database, name, path, plan, profile, _count)


def export_table(
    env: Env,
    db: Database,
    name: str,
    path: str,
    plan: Plan,
    profile: Profile | None,
    tick: Tick,
) -> Result:
    """Export one table to a file; an error of reading or writing is part of the result."""
    begun = time.monotonic()
    result = Result(name, name, os.path.basename(path))  # noqa: PTH119 - paths are plain strings
    reporter = Reporter(limit=_MOST_FINDINGS)
    try:
        table = db.table(name).through(CountedPages(db.source, tick), reporter)
        view = make_view(db, table, profile, columns=plan.columns or None, include=plan.include)
        result.title = view.title
        written = write_table(env, view, plan.form, path, plan.columns_per_file)
        result.rows, result.files = written.rows, list(written.files)
        result.columns = column_entries(view, written.types)
    except HotsplitError as error:
        result.error = error.at(file=db.path).as_json()
    result.findings = [finding.as_json() for finding in reporter.findings[:_MOST_FINDINGS]]
    result.finding_count = sum(reporter.counts.values())
    result.seconds = round(time.monotonic() - begun, 3)
    return result


@contextlib.contextmanager
def _bounded(tick: Tick, size: int) -> Iterator[Tick]:
    """Let a table advance the progress by what was estimated for it, no more and no less."""
    done = 0

    def inside(pages: int) -> None:
        nonlocal done
        step = min(pages, size - done)
        done += step
        tick(step)

    yield inside
    tick(size - done)


def page_estimate(table: Table) -> int:
    """Return about how many pages an export of a table reads."""
    pages = 0
    with contextlib.suppress(HotsplitError):
        pages += table.tree().page_estimate()
        if table.definition.long_value_root:
            pages += table.long_values().tree.page_estimate()
    return max(1, pages)
