"""Defragmentation, shrinking and scrubbing of a database in use."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from hotsplit.errors import InvalidUse, Jet, ObjectNotFound
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.upkeep import maintenance
from hotsplit.ese.format.logrecord import decode, encode
from hotsplit.ese.format.page import Node, NodeFlag, Page, PageFlag
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.core import Core
from hotsplit.ese.recovery.pages import PageAccess
from hotsplit.ese.recovery.recover import recover
from hotsplit.ese.recovery.trees import HANDLERS
from tests.ese.engine.cachewatch import CacheWatch
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH, Watched, by_number, write_some
from tests.ese.engine.shape import Shape, check_database
from tests.ese.engine.test_merging import kinds, records
from tests.memoryenv import Crash

PARTIAL_LEFT = 6


class Rig:
    """A database with a table of `rows` rows, of which one in `part` is left, spread evenly."""

    def __init__(self, page_size: int = 4096, rows: int = 3000, part: int = 3) -> None:
        self.env = Watched()
        self.env.mkdir(FOLDER)
        self.env.sync_dir("/")
        self.settings = Settings(FOLDER, page_size=page_size, log_size=256 << 10)
        self.instance = Instance.open(self.env, self.settings)
        self.database: OpenDatabase = self.instance.create_database(PATH)
        self.session = self.instance.session()
        self.table: Table = self.session.create_table(self.database, "Items", COLUMNS, INDEXES)
        self.old = self.env.get(PATH)
        with self.session.transaction():
            for number in range(rows):
                self.insert(number)
        with self.session.transaction():
            for number in range(rows):
                if number % part:
                    self.table.delete(self.table.bookmark(number))
        self.left = list(range(0, rows, part))
        self.instance.cleaner.run()

    def insert(self, number: int) -> None:
        body = b"secret" * 400 if number % 5 == 0 else b"b" * 200
        self.table.insert({"Id": number, "Size": number, "Name": f"name {number}", "Body": body})

    def numbers(self) -> list[int]:
        return list(by_number(self.table.rows()))

    def closed(self) -> Shape:
        self.instance.close()
        return check_database(self.env, PATH)


def test_defragmentation_fills_leaves_and_frees_pages() -> None:
    rig = Rig()
    before = rig.env.image(Crash.ALL_KEPT, 1)
    done = maintenance.defragment(rig.session, rig.database)
    assert rig.numbers() == rig.left
    assert done.joined > 50
    assert done.given_back > 10
    rig.session.create_table(rig.database, "Other", COLUMNS, INDEXES)
    shape = rig.closed()
    with Instance.open(before, rig.settings) as instance:
        instance.attach_database(PATH)
    old = check_database(before, PATH)
    for name in ("Items", "Items/by_name"):
        now, then = (sum(o == name for o in s.owner.values()) for s in (shape, old))
        assert now < then * 0.75, name
        live = [[node for node in s.nodes[name] if not node.is_deleted] for s in (shape, old)]
        assert len(live[0]) == len(live[1])
    assert kinds(rig.env)[PARTIAL_LEFT]


def test_what_a_crash_left_of_deleted_rows_goes() -> None:
    rig = Rig(part=2, rows=800)
    rig.session.begin()
    for number in range(0, 800, 4):
        rig.table.delete(rig.table.bookmark(number))
    rig.session.commit()
    env = rig.env.image(Crash.ALL_KEPT, 1)
    with Instance.open(env, rig.settings) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        maintenance.defragment(session, database)
    nodes = check_database(env, PATH).nodes
    names = ("Items", "Items/by_name", "Items/by_size", "Items/LV")
    assert [sum(node.is_deleted for node in nodes[name]) for name in names] == [0] * 4
    assert len(nodes["Items"]) == 200


def test_what_others_see_does_not_change() -> None:
    """A transaction that began before keeps its view; one that is open can be rolled back."""
    rig = Rig(part=1, rows=1500)
    reader, writer = rig.instance.session(), rig.instance.session()
    items = reader.open_table(rig.database, "Items")
    with reader.reading():
        assert len(by_number(items.rows())) == 1500
        writer.begin()
        mine = writer.open_table(rig.database, "Items")
        for number in range(100, 900):
            mine.delete(mine.bookmark(number))
        for number in range(900, 1400):
            mine.update(mine.bookmark(number), {"Body": None, "Size": 1})
        for what in (maintenance.defragment, maintenance.shrink, maintenance.scrub):
            what(rig.session, rig.database)
        assert len(by_number(items.rows())) == 1500
        assert len(by_number(mine.rows())) == 700
        writer.rollback()
        found = by_number(items.rows())
    assert found == by_number(rig.table.rows())
    assert found[1000]["Body"] == b"secret" * 400
    rig.closed()


def test_the_end_of_the_file_is_returned_and_taken_again() -> None:
    rig = Rig(part=10)
    size = rig.database.store.page_count
    maintenance.defragment(rig.session, rig.database)
    done = maintenance.shrink(rig.session, rig.database)
    assert done.moved > 0
    assert done.cut >= 256
    assert done.size == size - done.cut
    assert rig.numbers() == rig.left
    records_then = [r for r in records(rig.env) if r.type in (T.SHRINK_DB, T.PAGE_MOVE)]
    assert {r.type for r in records_then} == {T.SHRINK_DB, T.PAGE_MOVE}
    with rig.session.transaction():
        for number in range(10_000, 13_000):
            rig.insert(number)
    assert rig.database.store.page_count > done.size
    rig.closed()


@pytest.mark.parametrize("crash", [Crash.ALL_KEPT, Crash.ALL_LOST, Crash.SOME_KEPT])
@pytest.mark.parametrize("old", [False, True])
def test_replay_does_all_of_it_again(crash: Crash, old: bool) -> None:
    """Crashed after the end of the file was cut off and taken again; old: with the first pages."""
    rig = Rig(rows=1200, part=10)
    rng = random.Random(3)
    for _ in range(2):
        maintenance.defragment(rig.session, rig.database)
        maintenance.scrub(rig.session, rig.database)
        maintenance.shrink(rig.session, rig.database)
        with rig.session.transaction():
            for number in range(10_000, 10_600):
                rig.insert(number)
        write_some(rig.instance, rng, rng.randrange(400))
        with rig.session.transaction():
            for number in range(10_000, 10_600):
                rig.table.delete(rig.table.bookmark(number))
        rig.instance.cleaner.run()
    rig.instance.context.log.flush()
    image = rig.env.image(crash, 5)
    if old:
        image.put(PATH, rig.old)
    recover(image, [FOLDER], [], "/out")
    check_database(image, "/out/items.edb")
    with Database.open(image, "/out/items.edb") as database:
        assert list(by_number(database.table("Items").rows())) == rig.left
    if not old:
        with Instance.open(image, rig.settings) as instance, instance.session() as session:
            table = session.open_table(instance.attach_database(PATH), "Items")
            assert list(by_number(table.rows())) == rig.left
        check_database(image, PATH)


def test_scrubbing_leaves_nothing_of_deleted_rows() -> None:
    rig = Rig(part=1, rows=400)
    rig.instance.context.cache.flush(1)
    assert b"secret" in rig.env.get(PATH)
    with rig.session.transaction():
        for number in range(400):
            rig.table.delete(rig.table.bookmark(number))
    rig.instance.cleaner.run()
    done = maintenance.scrub(rig.session, rig.database)
    assert done.scrubbed > 5
    assert not maintenance.scrub(rig.session, rig.database).scrubbed
    rig.closed()
    assert b"secret" not in rig.env.get(PATH)
    assert any(r.type == T.SCRUB for r in records(rig.env))


def test_a_scrubbed_page_is_as_the_published_engine_leaves_it() -> None:
    core = Core(4096)
    pages = PageAccess(core, 4096, 100)
    core.attach(1, 0, 100)
    page = Page.new(4096, 9, 4, 10, PageFlag.LEAF)
    deleted = NodeFlag.DELETED | NodeFlag.VERSION
    nodes = [
        Node(b"a", b"kept"),
        Node(b"b", b"secret", deleted),
        Node(b"c", b"chunk", deleted),
        Node(b"d", b"gone"),
    ]
    for line, node in enumerate(nodes):
        page.insert(line, node.key, node.data, node.flags)
    page.delete(3)
    core.load(1, 9, bytes(page.data))
    head = {"procid": 1, "dbid": 1, "pgno": 9, "fdp": 9, "objid": 4}
    times = {"dbtime": 11, "dbtime_before": 10}
    record = encode(T.SCRUB, **head, **times, operation_count=3, data=b"\0\1\2")
    HANDLERS[T.SCRUB](pages, decode(record))
    done = Page(core.page(1, 9) or b"", 9)
    assert done.flags == PageFlag.LEAF | PageFlag.SCRUBBED
    assert [(node.data, node.flags) for node in done.nodes()] == [
        (b"kept", 0), (b"DDDDDD", NodeFlag.DELETED), (b"\x20LLLL", NodeFlag.DELETED),
    ]  # fmt: skip
    used = sum(len(part) for part in (b"kept", b"secret", b"chunk")) + 3 * (2 + 1)
    assert bytes(done.data[40 + used : 4096 - 4 * 4]) == b"Z" * (4096 - 40 - used - 16)
    times = {"dbtime": 12, "dbtime_before": 11}
    HANDLERS[T.SCRUB](pages, decode(encode(T.SCRUB, **head, **times, scrub_flags=1)))
    done = Page(core.page(1, 9) or b"", 9)
    assert not done.nodes()
    assert bytes(done.data[40:4092]) == b"U" * 4052


def test_pages_that_change_are_scrubbed_again() -> None:
    rig = Rig(part=2, rows=60)
    maintenance.scrub(rig.session, rig.database)
    tree = rig.table.state.tree
    leaf = tree.find(rig.table.bookmark(8))
    assert Page(leaf.page).flags & PageFlag.SCRUBBED
    rig.session.begin()
    rig.table.update(rig.table.bookmark(8), {"Name": "new"})
    rig.session.rollback()
    assert not Page(tree.page(leaf.pgno)).flags & PageFlag.SCRUBBED
    assert maintenance.scrub(rig.session, rig.database).scrubbed
    assert Page(tree.page(leaf.pgno)).flags & PageFlag.SCRUBBED
    rig.table.update(rig.table.bookmark(8), {"Name": "newer"})
    image = rig.env.crashed(Crash.ALL_LOST)
    with Instance.open(image, rig.settings) as instance:
        database = instance.attach_database(PATH)
        page = Page(instance.context.cache.load(database.dbid, leaf.pgno))
        assert not page.flags & PageFlag.SCRUBBED


def test_a_root_page_keeps_its_counter_when_its_tree_gets_more_extents() -> None:
    rig = Rig(rows=1)
    other = rig.session.create_table(rig.database, "Other", COLUMNS, INDEXES[:1], pages=4)
    tree = other.state.tree
    with rig.session.transaction():
        header = tree.space.header
        assert not header.is_multiple
        tree.set_external(rig.session, header._replace(autoincrement=77).pack())
        for number in range(100):
            other.insert({"Id": number, "Body": b"b" * 300})
    assert tree.space.header.is_multiple
    assert tree.space.header.autoincrement == 77
    rig.closed()


def test_a_file_that_a_backup_reads_does_not_shrink() -> None:
    rig = Rig(rows=1)
    hold = rig.instance.context.holds.add("backup", 1)
    hold.databases.add(rig.database.dbid)
    with pytest.raises(InvalidUse) as error:
        maintenance.shrink(rig.session, rig.database)
    assert error.value.jet == Jet.errBackupInProgress
    rig.instance.context.holds.release(hold)
    maintenance.shrink(rig.session, rig.database)
    rig.closed()


def test_a_table_that_is_not_there_is_not_defragmented() -> None:
    env = Watched()
    env.mkdir(FOLDER)
    with Instance.open(env, Settings(FOLDER)) as instance, instance.session() as session:
        database = instance.create_database(PATH)
        with pytest.raises(ObjectNotFound):
            maintenance.defragment(session, database, "None")


@pytest.mark.parametrize("work", [maintenance.defragment, maintenance.scrub, maintenance.shrink])
def test_housekeeping_keeps_to_the_size_of_the_cache(
    work: Callable[[Session, OpenDatabase], maintenance.Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one transaction deleted more than that, and where more is free."""
    rig = Rig(rows=1)
    with rig.session.transaction(lazy=True):
        for number in range(1, 4000):
            rig.insert(number)
    rig.instance.close()
    settings = replace(rig.settings, cache_size=256 << 10)
    watch = CacheWatch(monkeypatch)
    with Instance.open(rig.env, settings) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        table = session.open_table(database, "Items")
        with session.transaction(lazy=True):
            for number in range(4000):
                if number % 50:
                    table.delete(table.bookmark(number))
        work(session, database)
        assert 0 < watch.most < 128  # pages of 4 KB: at most half a megabyte
        assert list(by_number(table.rows())) == list(range(0, 4000, 50))
    check_database(rig.env, PATH)
