"""Exporting a database: every table into a file, one after the other or on several cores."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hotsplit.errors import HotsplitError, InvalidUse, TargetExists
from hotsplit.ese.export.files import file_name
from hotsplit.ese.export.manifest import Manifest, Plan, Result, identity
from hotsplit.ese.export.parallel import Opener, Pool, share_out
from hotsplit.ese.export.sqlite import merge_sqlite
from hotsplit.ese.export.tables import MOST_FINDINGS, Order, Tick, export_table
from hotsplit.ese.export.titles import named_table, profile_of
from hotsplit.ese.export.view import make_view
from hotsplit.ese.export.writers import COLUMNAR
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.identify import spare
from hotsplit.ese.read.arrow import load_pyarrow
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table


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
        self.profile = profile_of(env, plan.profile, db)
        self._names = self._tables(db)
        self._sizes = {name: page_estimate(db.table(name)) for name in self._names}
        self._identity = identity(env, db)
        if plan.form in ("parquet", "arrow"):
            load_pyarrow()  # tell at once that it is missing
        if plan.columns and len(self._names) != 1:
            raise InvalidUse("Columns can be named for one table only")
        if plan.columns:  # tell at once that one is not there
            make_view(db, db.table(self._names[0]), self.profile, columns=plan.columns)
        if plan.columns_per_file and plan.form not in COLUMNAR:
            raise InvalidUse(f"A table is one file in {plan.form}, whatever its columns")
        self._single = bool(plan.tables) and len(self._names) == 1 and self._is_file(target)

    @property
    def pages(self) -> int:
        """About how many pages are to be read."""
        return sum(self._sizes.values())

    def _tables(self, db: Database) -> list[str]:
        if self._plan.tables:
            tables = [named_table(db, name, self.profile) for name in self._plan.tables]
            return list(dict.fromkeys(table.name for table in tables))
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
            self._refuse_old(overwrite)
            results = list(self._export([self._order(self._names[0], self._target)], jobs, tick))
        elif self._plan.form == "sqlite":
            results = self._run_sqlite(jobs, tick, overwrite)
        else:
            results = self._run_folder(self._target, jobs, tick, overwrite)
        name = self.profile.name if self.profile else "none"
        return Report(self._target, name, results, self._findings())

    def _findings(self) -> list[dict[str, Any]]:
        return [finding.as_json() for finding in self._db.reporter.findings[:MOST_FINDINGS]]

    def _run_sqlite(self, jobs: int, tick: Tick, overwrite: bool) -> list[Result]:
        """Write each table into a database of its own, then all into one."""
        env, target = self._env, self._target
        folder = target + ".parts"
        self._refuse_old(overwrite or env.exists(folder))
        results = self._run_folder(folder, jobs, tick, overwrite)
        good = [r for r in results if r.error is None]
        parts = [(f"{folder}/{result.file}", result.title) for result in good]
        for result, name in zip(good, merge_sqlite(env, parts, target), strict=True):
            result.file = os.path.basename(target)  # noqa: PTH119 - paths are plain strings
            result.title = name
        if len(good) == len(results):
            env.remove_tree(folder)
        return results

    def _refuse_old(self, overwrite: bool) -> None:
        """Raise TargetExists if there is a file that may not be replaced."""
        spare(self._env, self._target)
        if self._env.exists(self._target) and not overwrite:
            why, hint = "There is a file already", "Use --overwrite."
            raise TargetExists(why, file=self._target, hint=hint)

    def _run_folder(self, folder: str, jobs: int, tick: Tick, overwrite: bool) -> list[Result]:
        manifest = Manifest(self._env, folder, self._identity, self._plan)
        done = {} if overwrite else manifest.load()
        manifest.begin(done)
        taken: set[str] = set()
        todo: list[Order] = []
        results: dict[str, Result] = {}
        for name in self._names:
            file = f"{file_name(self._title(name), taken)}.{self._plan.form}"
            if name in done:
                results[name] = replace(done[name], kept=True)
                tick(self._sizes[name])
            else:
                todo.append(self._order(name, f"{folder}/{file}"))
        todo.sort(key=lambda order: order.pages, reverse=True)
        for result in self._export(todo, jobs, tick):
            results[result.table] = result
            manifest.add(result)
        ordered = [results[name] for name in self._names]
        complete = all(result.error is None for result in ordered)
        manifest.finish(complete, self._findings())
        return ordered

    def _order(self, name: str, path: str) -> Order:
        return Order(name, path, self._sizes[name])

    def _title(self, name: str) -> str:
        return (self.profile.table(name).title if self.profile else "") or name

    def _export(self, todo: list[Order], jobs: int, tick: Tick) -> Iterator[Result]:
        pool = Pool(self._env, self._db, self._opener, self._plan, self.profile)
        if jobs > 1 and pool.can_start:
            todo = share_out(self._db, todo, self._plan, jobs)
            jobs = min(jobs, len(todo))
            if jobs > 1:
                yield from pool.run(todo, jobs, tick)
                return
        for order in todo:
            with _bounded(tick, order.pages) as inside:
                yield export_table(self._env, self._db, order, self._plan, self.profile, inside)


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
