"""What a crash leaves in nobody's hands comes back; nothing else is ever taken for it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hotsplit.errors import InvalidUse, Jet, PageDamaged
from hotsplit.ese.check import integrity
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.tables.tablestate import TableState
from hotsplit.ese.engine.upkeep import leaks, maintenance
from hotsplit.ese.engine.upkeep.leaks import reclaim
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.format.space import Extent
from hotsplit.ese.recovery.events import EventId
from hotsplit.report import Reporter, Severity
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH, Watched, by_number
from tests.ese.engine.events import Events
from tests.ese.engine.shape import check_database
from tests.memoryenv import Crash, MemoryEnv

SETTINGS = Settings(FOLDER, page_size=4096, log_size=64 << 10)


def findings(env: Env) -> list[str]:
    reporter = Reporter()
    integrity.check_database(env, PATH, reporter)
    return sorted({f.rule for f in reporter.findings if f.severity != Severity.NOTE})


def begun() -> tuple[Watched, Instance]:
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    instance = Instance.open(env, SETTINGS)
    instance.create_database(PATH)
    return env, instance


def made(instance: Instance, name: str, rows: int, first: int = 0) -> Table:
    session = instance.session()
    table = session.create_table(instance.databases[1], name, COLUMNS, INDEXES)
    with session.transaction():
        for number in range(first, first + rows):
            body = b"b" * (3000 if number % 7 == 0 else 100)
            table.insert({"Id": number, "Size": number, "Name": f"n{number}", "Body": body})
    return table


def dropped(env: Watched, instance: Instance, what: str) -> MemoryEnv:
    """A crash between a drop and the end of the last older view."""
    table = made(instance, "Gone", 300)
    made(instance, "Stays", 200)
    reader = instance.session()
    reader.begin()
    if what == "table":
        table.session.drop_table(instance.databases[1], "Gone")
    else:
        table.session.drop_index(table, "by_name")
    return env.crashed(Crash.ALL_LOST)


@pytest.mark.parametrize("what", ["table", "index"])
@pytest.mark.parametrize("work", [maintenance.defragment, maintenance.shrink])
def test_space_of_what_was_dropped_comes_back(
    what: str, work: Callable[[Session, OpenDatabase], maintenance.Done]
) -> None:
    image = dropped(*begun(), what)
    with Instance.open(image, SETTINGS) as instance:
        pass
    assert findings(image) == ["S34"]
    with Instance.open(image, SETTINGS) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        done = work(session, database)
        assert done.reclaimed > (50 if what == "table" else 1)
        assert not reclaim(session, database)
        table = session.open_table(database, "Stays")
        assert list(by_number(table.rows())) == list(range(200))
        size = database.store.page_count
        again = made(instance, "New", 250)
        if work is maintenance.defragment and what == "table":
            assert database.store.page_count == size  # it fits in what came back
        again.session.close()
    check_database(image, PATH)
    assert findings(image) == []


def test_nothing_is_taken_that_is_in_use() -> None:
    """A workload with all that moves space, looked at between its steps."""
    env, instance = begun()
    database, rng = instance.databases[1], random.Random(5)
    tables: dict[str, Table] = {}
    for step in range(30):
        name = rng.choice(("A", "B", "C"))
        session = instance.session()
        if name not in tables:
            tables[name] = made(instance, name, rng.choice((1, 40, 200)))
        elif rng.random() < 0.3:
            del tables[name]
            session.drop_table(database, name)
        else:
            with session.transaction():
                table = session.open_table(database, name)
                for number in list(by_number(table.rows())):
                    if rng.random() < 0.5:
                        table.delete(table.bookmark(number))
            if rng.random() < 0.5:
                maintenance.defragment(session, database, name)
        assert not reclaim(session, database), step
    column = Column("A", Coltyp.LONG)
    instance.session().create_table(database, "Single", [column], [Index("a", ["A"])], pages=20)
    assert not reclaim(instance.session(), database)
    instance.close()
    assert findings(env) == []


def test_nothing_is_reclaimed_while_somebody_is_in_a_transaction() -> None:
    image = dropped(*begun(), "table")
    with Instance.open(image, SETTINGS) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        other = instance.session()
        other.begin()
        assert not reclaim(session, database)
        with pytest.raises(InvalidUse) as error:
            reclaim(other, database)
        assert error.value.jet == Jet.errInTransaction
        # Of what is dropped now nobody knows but those who still see it.
        session.drop_table(database, "Stays")
        assert not reclaim(session, database)
        other.rollback()
        assert reclaim(session, database) > 50
        assert not reclaim(session, database)
    assert findings(image) == []


def test_idle_time_after_a_crash_brings_them_back() -> None:
    image = dropped(*begun(), "table")
    with Instance.open(image, SETTINGS) as instance, instance.session() as session:
        instance.attach_database(PATH)
        session.begin()
        while instance.idle():
            pass
        assert not instance.counters().reclaimed  # somebody is in a transaction
        session.rollback()
        while instance.idle():
            pass
        assert instance.counters().reclaimed > 50
        assert not instance.idle()
    assert findings(image) == []


def test_a_damaged_table_keeps_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    image, events = dropped(*begun(), "table"), Events()
    look = leaks._reclaim_table

    def damaged(session: Session, state: TableState) -> int:
        if state.name == "Stays":
            raise PageDamaged("What a disk has made of it", file=PATH)
        return look(session, state)

    monkeypatch.setattr(leaks, "_reclaim_table", damaged)
    with Instance.open(image, SETTINGS, events) as instance:
        instance.attach_database(PATH)
        while instance.idle():
            pass
        assert instance.counters().reclaimed > 50
    assert events.numbers.count(EventId.PAGE_DAMAGED) == 1


@pytest.mark.parametrize("crash", list(Crash))
def test_crashes_while_space_comes_back(crash: Crash) -> None:
    image = dropped(*begun(), "table")
    env = Watched()
    env.root = image.root
    images: list[MemoryEnv] = []
    chance = random.Random(crash.value)

    def moment(kind: str, path: str) -> None:
        if chance.random() < 0.15:
            images.append(env.crashed(crash, chance.randrange(1 << 30)))

    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        env.moment = moment
        reclaim(session, database)
        maintenance.shrink(session, database)
        instance.context.cache.flush(database.dbid)
        instance.context.log.flush()
    assert len(images) > 3
    for one in images:
        with Instance.open(one, SETTINGS) as instance, instance.session() as session:
            database = instance.attach_database(PATH)
            reclaim(session, database)
            table = session.open_table(database, "Stays")
            assert list(by_number(table.rows())) == list(range(200))
        assert findings(one) == []


@pytest.mark.parametrize("seed", [110, 111])
def test_many_extents_are_given_back(seed: int) -> None:
    """The trees of extents take pages of those that are free while they lose nodes themselves."""
    env, instance = begun()
    table = made(instance, "Items", 40)
    session, tree, root = table.session, table.state.trees[0], instance.databases[1].root
    rng = random.Random(seed)
    with instance.context.lock, session.transaction():
        for _ in range(rng.randrange(200, 1500)):
            size = rng.choice((1, 4, 4))
            first = root.space.allocate_extent(session, size)
            tree.space._take(session, Extent(first + size - 1, size))
            if rng.random() < 0.5:
                root.space.allocate_extent(session, 1)
    reclaim(session, instance.databases[1])  # the pages between them
    with instance.context.lock, session.transaction():
        pages = [tree.space.allocate(session) for _ in range(rng.choice((0, 10, 700)))]
        rng.shuffle(pages)
        for pgno in pages:
            tree.space.free(session, pgno, 1)
    with instance.context.lock, session.transaction():
        assert tree.space.give_back(session) > 100
    assert not reclaim(session, instance.databases[1])
    instance.close()
    check_database(env, PATH)
    assert findings(env) == []
