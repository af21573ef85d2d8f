"""Exporting on several cores: tables side by side, and large tables in pieces.

In formats of text the rows of a large table are shared out by leaves, every piece is written to a
file of its own, and they are put one behind the other: the file is the same as without. A table in
a format of columns is read by one thread while another writes it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

from hotsplit.errors import HotsplitError
from hotsplit.ese.export.files import join
from hotsplit.ese.export.manifest import Plan, Result
from hotsplit.ese.export.profiles import Profile
from hotsplit.ese.export.tables import MOST_FINDINGS, Order, Tick, export_piece, export_table
from hotsplit.ese.export.writers import COLUMNAR, TEXT
from hotsplit.ese.files.env import Env
from hotsplit.ese.read.database import Database

_POLL = 0.2
_PIECES_A_JOB = 16  # the last one may begin when all other processes are done
_LEAST_PIECE = 1 << 21  # bytes of pages
Opener = Callable[[], Database]


def start_method() -> str:
    """Fork where nothing speaks against it: it is quick and needs nothing of the caller."""
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    return "fork" if can_fork and threading.active_count() == 1 else "spawn"


def share_out(db: Database, orders: Sequence[Order], plan: Plan, jobs: int) -> list[Order]:
    """Return the orders with large tables in pieces, so that `jobs` processes end together.

    Remains of rows are not in leaves, so a table with them is one piece.
    """
    total = sum(order.pages for order in orders)
    share = max(_LEAST_PIECE // db.page_size, 1, total // (jobs * _PIECES_A_JOB))
    found: list[Order] = []
    for order in orders:
        if order.pages <= 2 * share:
            found.append(order)
        elif plan.form in TEXT and not plan.include:
            found += _pieces(db, order, -(-order.pages // share))
        else:
            alone = plan.form in COLUMNAR and order.pages * jobs > total
            found.append(order._replace(ahead=alone))
    return found


def _pieces(db: Database, order: Order, count: int) -> list[Order]:
    try:
        parts = db.table(order.table).parts(count)
    except HotsplitError:  # who exports the table reports it
        return [order]
    pages = order.pages // count
    orders = [
        order._replace(pages=pages, part=part, number=number) for number, part in enumerate(parts)
    ]
    return orders if len(orders) > 1 else [order]


class Pool:
    """Processes that export. opener: opens the database, for processes that cannot inherit it."""

    def __init__(
        self, env: Env, db: Database, opener: Opener | None, plan: Plan, profile: Profile | None
    ) -> None:
        self._env, self._db, self._opener = env, db, opener
        self._plan, self._profile = plan, profile

    @property
    def can_start(self) -> bool:
        """True if processes can have the database."""
        return start_method() == "fork" or self._opener is not None

    def run(self, orders: Sequence[Order], jobs: int, tick: Tick) -> Iterator[Result]:
        """Carry out the orders; yield the result of each table when it is done."""
        method = start_method()
        context = multiprocessing.get_context(method)
        counter = context.Value("Q", 0)
        opener = self._opener
        if method == "fork":
            _worker.database, opener = self._db, None
        try:
            with ProcessPoolExecutor(jobs, context, _begin_worker, (counter, opener)) as pool:
                yield from self._results(pool, orders, counter, tick)
        finally:
            self._remove(order for order in orders if order.part is not None)

    def _results(
        self, pool: ProcessPoolExecutor, orders: Sequence[Order], counter: Any, tick: Tick
    ) -> Iterator[Result]:
        def submit(order: Order) -> Future[Result | None]:
            return pool.submit(_in_worker, self._env, order, self._plan, self._profile)

        waiting = {submit(order): order for order in orders}
        pieces = _Pieces(orders)
        seen = 0
        try:
            while waiting:
                done, _ = wait(waiting, _POLL, FIRST_COMPLETED)
                now = counter.value
                tick(now - seen)
                seen = now
                for future in done:
                    order, result = waiting.pop(future), future.result()
                    if order.part is None:
                        assert result is not None
                        yield result
                    elif found := pieces.add(order, result):
                        yield from self._joined(found, waiting, submit)
        except BaseException:
            for future in waiting:
                future.cancel()
            raise

    def _joined(
        self,
        found: list[tuple[Order, Result | None]],
        waiting: dict[Future[Result | None], Order],
        submit: Callable[[Order], Future[Result | None]],
    ) -> Iterator[Result]:
        """Put the pieces of a table together, or have it exported as a whole if one failed."""
        orders, results = zip(*found, strict=True)
        good = [result for result in results if result is not None and result.error is None]
        if len(good) == len(found):
            result = _sum(good)
            try:
                join(self._env, [order.piece for order in orders], orders[0].path)
            except HotsplitError as error:
                result.error = error.at(file=self._db.path).as_json()
            yield result
        else:
            self._remove(orders)
            whole = orders[0]._replace(part=None)
            waiting[submit(whole)] = whole

    def _remove(self, orders: Iterator[Order] | Sequence[Order]) -> None:
        for order in orders:
            with contextlib.suppress(HotsplitError):
                if self._env.exists(order.piece):
                    self._env.remove(order.piece)


class _Pieces:
    """The results of pieces of tables, by table."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self._found: dict[str, dict[int, tuple[Order, Result | None]]] = {}
        self._counts: dict[str, int] = {}
        for order in orders:
            self._counts[order.table] = self._counts.get(order.table, 0) + 1

    def add(self, order: Order, result: Result | None) -> list[tuple[Order, Result | None]]:
        """Take a result; return all of the table, in order, once they are there."""
        found = self._found.setdefault(order.table, {})
        found[order.number] = order, result
        return [found[i] for i in sorted(found)] if len(found) == self._counts[order.table] else []


def _sum(results: Sequence[Result]) -> Result:
    """Return the result of a table from those of its pieces."""
    whole = results[0]
    for result in results[1:]:
        whole.rows += result.rows
        whole.findings = (whole.findings + result.findings)[:MOST_FINDINGS]
        whole.finding_count += result.finding_count
        whole.seconds = round(whole.seconds + result.seconds, 3)
    return whole


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


def _in_worker(env: Env, order: Order, plan: Plan, profile: Profile | None) -> Result | None:
    assert _worker.database is not None
    export = export_table if order.part is None else export_piece
    return export(env, _worker.database, order, plan, profile, _count)
