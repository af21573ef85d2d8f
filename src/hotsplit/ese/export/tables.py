"""Exporting one table, or the rows of some of its leaves, to a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from hotsplit.errors import HotsplitError
from hotsplit.ese.export.files import PART
from hotsplit.ese.export.manifest import Plan, Result
from hotsplit.ese.export.profiles import Profile
from hotsplit.ese.export.schema import column_entries
from hotsplit.ese.export.titles import titles
from hotsplit.ese.export.view import View, make_view
from hotsplit.ese.export.writers import write_piece, write_table
from hotsplit.ese.files.env import Env
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.pages import CountedPages
from hotsplit.ese.read.parts import LeafRange, OutOfOrder
from hotsplit.report import Reporter

MOST_FINDINGS = 100
Tick = Callable[[int], None]


class Order(NamedTuple):
    """What is to be written: a table to a file. pages: about how many it has.

    part: only the rows of these leaves, as piece `number` of the file. ahead: see `write_table`.
    """

    table: str
    path: str
    pages: int
    part: LeafRange | None = None
    number: int = 0
    ahead: bool = False

    @property
    def piece(self) -> str:
        """The file for the piece."""
        return f"{self.path}.{self.number}{PART}"


def export_table(
    env: Env, db: Database, order: Order, plan: Plan, profile: Profile | None, tick: Tick
) -> Result:
    """Export one table to a file; an error of reading or writing is part of the result."""

    def write(view: View, result: Result) -> None:
        most = plan.columns_per_file
        written = write_table(env, view, plan.form, order.path, most, ahead=order.ahead)
        result.rows, result.files = written.rows, list(written.files)
        result.columns = column_entries(view, written.types)

    return _told(db, order, plan, profile, tick, write)


def export_piece(
    env: Env, db: Database, order: Order, plan: Plan, profile: Profile | None, tick: Tick
) -> Result | None:
    """Export the rows of some leaves of a table; None if the leaves are not linked in order."""
    part, first = order.part, order.number == 0
    assert part is not None

    def write(view: View, result: Result) -> None:
        written = write_piece(env, view, plan.form, order.piece, part, first=first)
        result.rows = written.rows
        result.columns = column_entries(view, written.types) if first else []

    try:
        return _told(db, order, plan, profile, tick, write)
    except OutOfOrder:
        return None


def _told(
    db: Database,
    order: Order,
    plan: Plan,
    profile: Profile | None,
    tick: Tick,
    write: Callable[[View, Result], None],
) -> Result:
    """Have a table written; return how it went, with the error if there was one."""
    begun = time.monotonic()
    file = os.path.basename(order.path)  # noqa: PTH119 - paths are plain strings
    title = titles([order.table], profile).get(order.table, order.table)
    result = Result(order.table, title, file)
    reporter = Reporter(limit=MOST_FINDINGS)
    try:
        table = db.table(order.table).through(CountedPages(db.source, tick), reporter)
        view = make_view(db, table, profile, columns=plan.columns or None, include=plan.include)
        write(view, result)
    except HotsplitError as error:
        result.error = error.at(file=db.path).as_json()
    result.findings = [finding.as_json() for finding in reporter.findings[:MOST_FINDINGS]]
    result.finding_count = sum(reporter.counts.values())
    result.seconds = round(time.monotonic() - begun, 3)
    return result
