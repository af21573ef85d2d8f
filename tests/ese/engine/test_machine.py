"""Hypothesis drives two sessions of an engine and a model of what each of them sees."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hotsplit.errors import KeyDuplicate, RecordNotFound, WriteConflict
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.maintenance import defragment, scrub, shrink
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.table import Table
from hotsplit.ese.format.columns import Value
from tests.ese.engine.crashes import (
    COLUMNS,
    FOLDER,
    INDEXES,
    PATH,
    Rows,
    Watched,
    by_number,
)
from tests.ese.engine.shape import check_database
from tests.memoryenv import Crash

NUMBERS = st.integers(0, 7)
WHO = st.integers(0, 1)
BODIES = st.sampled_from([None, b"short", b"a longer value " * 300])


class Level:
    """An open transaction: what it sees, and which rows it has changed."""

    def __init__(self, rows: Rows) -> None:
        self.rows = dict(rows)
        self.changed: set[int] = set()


class Engine(RuleBasedStateMachine):
    """levels: the open transactions of each session. outdated: rows changed behind its view."""

    @initialize(size=st.sampled_from([4096, 32768]))
    def begin(self, size: int) -> None:
        self.env = Watched()
        self.env.mkdir(FOLDER)
        self.env.sync_dir("/")
        self.settings = Settings(FOLDER, page_size=size, log_size=64 << 10)
        self.instance = Instance.open(self.env, self.settings)
        database = self.instance.create_database(PATH)
        with self.instance.session() as session:
            session.create_table(database, "Items", COLUMNS, INDEXES)
        self.committed: Rows = {}
        self.enter(database)

    def enter(self, database: OpenDatabase) -> None:
        self.sessions = [self.instance.session() for _ in range(2)]
        self.tables: list[Table] = [s.open_table(database, "Items") for s in self.sessions]
        self.levels: list[list[Level]] = [[], []]
        self.outdated: list[set[int]] = [set(), set()]

    def seen(self, who: int) -> Rows:
        return self.levels[who][-1].rows if self.levels[who] else self.committed

    def conflicts(self, who: int, number: int) -> bool:
        """Has the other session changed the row, and this one does not see it?"""
        other = any(number in level.changed for level in self.levels[1 - who])
        return other or (bool(self.levels[who]) and number in self.outdated[who])

    # Transactions

    @rule(who=WHO)
    def transact(self, who: int) -> None:
        if len(self.levels[who]) < 3:
            if not self.levels[who]:
                self.outdated[who] = set()
            self.levels[who].append(Level(self.seen(who)))
            self.sessions[who].begin()

    @rule(who=WHO, lazy=st.booleans())
    def commit(self, who: int, lazy: bool) -> None:
        if not self.levels[who]:
            return
        self.sessions[who].commit(lazy=lazy)
        level = self.levels[who].pop()
        if self.levels[who]:
            self.levels[who][-1].rows = level.rows
            self.levels[who][-1].changed |= level.changed
            return
        for number in level.changed:
            self.publish(who, number, level.rows.get(number))

    @rule(who=WHO)
    def roll_back(self, who: int) -> None:
        if self.levels[who]:
            self.sessions[who].rollback()
            self.levels[who].pop()

    def publish(self, who: int, number: int, row: dict[str, Value] | None) -> None:
        self.outdated[1 - who].add(number)
        set_row(self.committed, number, row)

    # Changes

    @rule(who=WHO, number=NUMBERS, size=st.integers(0, 9), body=BODIES)
    def put(self, who: int, number: int, size: int, body: bytes | None) -> None:
        tags: Value = ["a"]
        row: dict[str, Value] = {
            "Id": number,
            "Size": size,
            "Name": f"n{number}",
            "Tags": tags,
            "Body": body,
        }
        table = self.tables[who]
        try:
            if number in self.seen(who):
                table.update(table.bookmark(number), row)
            else:
                table.insert(row)
        except (WriteConflict, KeyDuplicate):
            assert self.conflicts(who, number)
            return
        self.store(who, number, row)

    @rule(who=WHO, number=NUMBERS)
    def delete(self, who: int, number: int) -> None:
        table = self.tables[who]
        try:
            table.delete(table.bookmark(number))
        except RecordNotFound:
            assert number not in self.seen(who)
            return
        except WriteConflict:
            assert self.conflicts(who, number)
            return
        assert number in self.seen(who)
        self.store(who, number, None)

    def store(self, who: int, number: int, row: dict[str, Value] | None) -> None:
        assert not self.conflicts(who, number)
        if not self.levels[who]:
            self.publish(who, number, row)
            return
        self.levels[who][-1].changed.add(number)
        set_row(self.levels[who][-1].rows, number, row)

    # Ends

    @rule(pages=st.integers(0, 9))
    def write_pages(self, pages: int) -> None:
        self.instance.context.cache.clean_below(1 << 62, pages)

    @rule(what=st.sampled_from([defragment, shrink, scrub]))
    def maintain(self, what: Callable[[Session, OpenDatabase], object]) -> None:
        with self.instance.session() as session:
            what(session, self.instance.databases[1])

    @rule(crash=st.sampled_from(list(Crash)), seed=st.integers(0, 99))
    def crash(self, crash: Crash, seed: int) -> None:
        self.instance.context.log.flush()  # so that lazy commits are there as well
        self.env = self.env.image(crash, seed)
        self.instance = Instance.open(self.env, self.settings)
        self.enter(self.instance.attach_database(PATH))

    @rule()
    def restart(self) -> None:
        self.instance.close()
        check_database(self.env, PATH)
        self.instance = Instance.open(self.env, self.settings)
        self.enter(self.instance.attach_database(PATH))

    @invariant()
    def sessions_see_what_they_should(self) -> None:
        for who, table in enumerate(self.tables):
            expected = self.seen(who)
            assert by_number(table.rows()) == expected
            sizes = [row["Size"] for row in table.rows("by_size")]
            assert sizes == [row["Size"] for row in sorted(expected.values(), key=by_size)]

    def teardown(self) -> None:
        if hasattr(self, "instance"):
            self.instance.close()
            check_database(self.env, PATH)


def set_row(rows: Rows, number: int, row: dict[str, Value] | None) -> None:
    """Put a row in its place, None for no row."""
    rows.pop(number, None)
    if row is not None:
        rows[number] = row


def by_size(row: dict[str, Value]) -> int:
    """Order rows as the index does: the largest first."""
    size = row["Size"]
    assert isinstance(size, int)
    return -size


Engine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestEngine = Engine.TestCase
