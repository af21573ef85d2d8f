"""Hypothesis drives two sessions of an engine and a model of what each of them sees."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hotsplit.errors import InvalidUse, KeyDuplicate, RecordNotFound, WriteConflict
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.upkeep.maintenance import defragment, scrub, shrink
from hotsplit.ese.format.columns import Coltyp, Value
from tests.ese.engine.crashes import (
    COLUMNS,
    FOLDER,
    INDEXES,
    PATH,
    Rows,
    Watched,
    by_number,
    write_some,
)
from tests.ese.engine.shape import check_database
from tests.memoryenv import Crash

NUMBERS = st.integers(0, 7)
WHO = st.integers(0, 1)
BY_SIZE = Index("by_size", ["-Size"])
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
        self.settings = Settings(FOLDER, page_size=size, log_size=max(64 << 10, 4 * size))
        self.instance = Instance.open(self.env, self.settings)
        database = self.instance.create_database(PATH)
        with self.instance.session() as session:
            session.create_table(database, "Items", COLUMNS, INDEXES)
        self.committed: Rows = {}
        self.indexed, self.name = True, "Items"
        self.others: list[int] = []
        self.enter(database)

    def enter(self, database: OpenDatabase) -> None:
        self.sessions = [self.instance.session() for _ in range(2)]
        self.tables: list[Table] = [s.open_table(database, self.name) for s in self.sessions]
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

    @rule(who=WHO, numbers=st.lists(NUMBERS | st.integers(100, 130), max_size=30))
    def put_many(self, who: int, numbers: list[int]) -> None:
        """Insert rows at once; one that cannot be keeps all from it."""
        rows = [self.plain_row(number) for number in numbers]
        try:
            count = self.tables[who].insert_many(rows)
        except (WriteConflict, KeyDuplicate):
            twice = len(set(numbers)) < len(numbers)
            seen = self.seen(who)
            assert twice or any(n in seen or self.conflicts(who, n) for n in numbers)
            return
        assert count == len(numbers)
        assert not any(number in self.seen(who) for number in numbers)
        for row, number in zip(rows, numbers, strict=True):
            self.store(who, number, row)

    def plain_row(self, number: int) -> dict[str, Value]:
        return {
            "Id": number, "Size": number % 3, "Name": f"n{number}", "Tags": None, "Body": None,
        }  # fmt: skip

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

    # The schema

    def may_change_schema(self) -> bool:
        """Nobody has anything open: then it must work."""
        return not self.levels[0] and not self.levels[1]

    @rule(who=WHO)
    def change_index(self, who: int) -> None:
        """Drop the index that is looked at, or make it anew."""
        if not self.may_change_schema():
            return
        if self.indexed:
            self.sessions[who].drop_index(self.tables[who], "by_size")
        else:
            self.sessions[who].create_index(self.tables[who], BY_SIZE)
        self.indexed = not self.indexed

    @rule(who=WHO)
    def change_column(self, who: int) -> None:
        """Drop a column and add another one of its name: it is NULL in all rows."""
        if not self.may_change_schema():
            return
        session, table = self.sessions[who], self.tables[who]
        with session.transaction():
            session.drop_column(table, "Body")
            session.add_column(table, Column("Body", Coltyp.LONG_BINARY))
        for row in self.committed.values():
            row["Body"] = None

    @rule(who=WHO, end=st.sampled_from(["commit", "rollback"]), rows=st.integers(0, 40))
    def other_table(self, who: int, end: str, rows: int) -> None:
        """Make a table, or drop the one that is there; or not."""
        if not self.may_change_schema():
            return
        session, database = self.sessions[who], self.tables[who].state.database
        session.begin()
        if self.others:
            session.drop_table(database, f"Other{self.others[-1]}")
        else:
            made = session.create_table(database, f"Other{rows}", COLUMNS, INDEXES)
            for number in range(rows):
                made.insert({"Id": number, "Body": b"other" * 100})
        getattr(session, end)()
        if end == "commit":
            self.others = [] if self.others else [rows]

    @rule(who=WHO, name=st.sampled_from(["Items", "Things"]))
    def rename(self, who: int, name: str) -> None:
        """Give the table another name; the tables in hand are the same."""
        if self.may_change_schema():
            database = self.tables[who].state.database
            self.sessions[who].rename_table(database, self.name, name)
            self.name = name

    @rule(who=WHO, work=st.sampled_from(["index", "column", "table"]))
    def change_and_roll_back(self, who: int, work: str) -> None:
        """A change of the schema that is taken back, or refused because the table is in use."""
        session, table = self.sessions[who], self.tables[who]
        with contextlib.suppress(WriteConflict, InvalidUse, KeyError), session.transaction():
            if work == "column":
                session.drop_column(table, "Body")
            elif work == "table":
                session.drop_table(table.state.database, self.name)
            elif self.indexed:
                session.drop_index(table, "by_size")
            else:
                session.create_index(table, BY_SIZE)
            raise KeyError

    # Ends

    @rule(pages=st.integers(0, 9))
    def write_pages(self, pages: int) -> None:
        write_some(self.instance, random.Random(pages), pages)

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
            self.look_at_others(who, table.state.database)
            if not self.indexed:
                continue
            sizes = [row["Size"] for row in table.rows("by_size")]
            assert sizes == [row["Size"] for row in sorted(expected.values(), key=by_size)]

    def look_at_others(self, who: int, database: OpenDatabase) -> None:
        names = [self.name, *(f"Other{rows}" for rows in self.others)]
        assert sorted(database.table_names()) == sorted(names)
        for rows in self.others:
            other = self.sessions[who].open_table(database, f"Other{rows}")
            assert sum(1 for _ in other.rows()) == rows

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
