"""A damaged database in use: errors that say so, no hang, and nothing but errors of ours.

Bytes of pages are changed and their checksums made good again, so the engine meets structures that
cannot be, as a bug or a bad memory leaves them.
"""

from __future__ import annotations

import contextlib
import functools
import random
import signal
import struct
from collections.abc import Callable, Iterator

import pytest

from hotsplit.errors import DataDamaged, HotsplitError, Jet, PageDamaged
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.upkeep import maintenance
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.catalogschema import KeySegment
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.space import SpaceHeader
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, MAINTENANCE, PATH
from tests.memoryenv import MemoryEnv

PAGE = 4096
SETTINGS = Settings(FOLDER, page_size=PAGE, log_size=256 << 10)
CATALOGS = (2, 3)  # objects: the catalog and its shadow
PATIENCE = 60  # seconds; a case takes less than one


def new_env() -> MemoryEnv:
    env = MemoryEnv()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    return env


@functools.cache
def sound() -> bytes:
    """A database with rows, indexes, long values, of another stream of logs than those here."""
    env, rng = new_env(), random.Random(1)
    env.random(1)
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        table = session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
        table.insert_many(
            {
                "Id": n,
                "Size": n % 50,
                "Name": f"name {n}",
                "Tags": ["a", "b"],
                "Body": rng.randbytes(rng.choice((10, 300, 6000))),
            }
            for n in range(300)
        )
    return env.get(PATH)


def change_bytes(data: bytearray, rng: random.Random) -> None:
    """Change bytes of some pages, often those of headers and tags."""
    used = [p for p in range(1, len(data) // PAGE - 1) if any(data[(p + 1) * PAGE :][:PAGE])]
    for pgno in rng.sample(used, rng.choice((1, 1, 2, 4))):
        start = (pgno + 1) * PAGE
        page = data[start : start + PAGE]
        for _ in range(rng.choice((1, 1, 3, 10))):
            at = rng.choice(
                (rng.randrange(8, PAGE), rng.randrange(8, 48), PAGE - rng.randrange(1, 60))
            )
            page[at] = rng.choice((0, 1, 255, rng.randrange(256), page[at] ^ 1 << rng.randrange(8)))
        stamp(page, pgno)
        data[start : start + PAGE] = page


@contextlib.contextmanager
def patience() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def operations(
    session: Session, database: OpenDatabase, table: Table
) -> list[Callable[[random.Random], object]]:
    def walk(rng: random.Random) -> None:
        cursor = table.cursor(rng.choice(("by_size", "by_tags", "by_name")))
        for _ in range(400):
            if not cursor.move(1):
                return
            cursor.row()

    def mark(rng: random.Random) -> bytes:
        return table.bookmark(rng.randrange(330))

    def body(rng: random.Random) -> bytes:
        return rng.randbytes(rng.choice((5, 5000)))

    return [
        lambda rng: table.insert({"Id": rng.randrange(1000, 9000), "Body": body(rng)}),
        lambda rng: table.update(mark(rng), {"Size": 3, "Body": body(rng)}),
        lambda rng: table.delete(mark(rng)),
        lambda rng: table.row(mark(rng)),
        lambda rng: table.open_long(mark(rng), "Body").write(b"changed"),
        lambda rng: table.copy(mark(rng), {"Id": rng.randrange(1000, 9000), "Name": None}),
        lambda rng: rng.choice(MAINTENANCE)(session, database),
        lambda _: [len(batch) for batch in table.batches()],
        walk,
    ]


@pytest.mark.parametrize("seed", range(24))
def test_work_on_damaged_pages_ends_in_errors_of_ours(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(sound())
    change_bytes(data, rng)
    env = new_env()
    env.put(PATH, bytes(data))
    with (
        patience(),
        contextlib.suppress(HotsplitError),
        Instance.open(env, SETTINGS) as instance,
        instance.session() as session,
    ):
        database = instance.attach_database(PATH)
        todo = operations(session, database, session.open_table(database, "Items"))
        for _ in range(40):
            with contextlib.suppress(HotsplitError):
                rng.choice(todo)(rng)


def leaves(data: bytearray, objid: int) -> list[Page]:
    pages = (Page(data[(p + 1) * PAGE :][:PAGE], p) for p in range(1, len(data) // PAGE - 1))
    return [page for page in pages if page.tag_count and page.is_leaf and page.objid == objid]


@pytest.mark.parametrize("work", MAINTENANCE)
def test_leaves_that_lead_back_do_not_go_on_for_ever(
    work: Callable[[Session, OpenDatabase], maintenance.Done],
) -> None:
    env = new_env()
    env.put(PATH, sound())
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        objid = session.open_table(instance.attach_database(PATH), "Items").state.tree.objid
    data = bytearray(env.get(PATH))
    first = next(page for page in leaves(data, objid) if not page.previous and page.next)
    second = next(page for page in leaves(data, objid) if page.number == first.next)
    third = next(page for page in leaves(data, objid) if page.number == second.next)
    third.data[20:24] = first.number.to_bytes(4, "little")
    content = bytearray(third.data)
    stamp(content, third.number)
    data[(third.number + 1) * PAGE : (third.number + 2) * PAGE] = content
    env.put(PATH, bytes(data))
    with patience(), Instance.open(env, SETTINGS) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        with contextlib.suppress(PageDamaged):
            work(session, database)
        assert session.open_table(database, "Items").get(0) is not None


@pytest.mark.parametrize("work", MAINTENANCE)
def test_space_that_no_file_has(
    work: Callable[[Session, OpenDatabase], maintenance.Done],
) -> None:
    """A root page says that its tree owns more pages than there can be."""
    env = new_env()
    env.put(PATH, sound())
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        table = session.create_table(instance.attach_database(PATH), "Small", COLUMNS[:1])
        root = table.state.tree.root
    data = bytearray(env.get(PATH))
    content = data[(root + 1) * PAGE : (root + 2) * PAGE]
    external = Page(content, root).external
    header = SpaceHeader.unpack(external)
    assert not header.is_multiple
    content = content.replace(external, header._replace(pages=0xFFFFFFF0).pack(), 1)
    stamp(content, root)
    data[(root + 1) * PAGE : (root + 2) * PAGE] = content
    env.put(PATH, bytes(data))
    with patience(), Instance.open(env, SETTINGS) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        if work is not maintenance.shrink:
            with pytest.raises(PageDamaged, match="behind the end of the file"):
                work(session, database)
        else:
            with contextlib.suppress(PageDamaged):
                work(session, database)


def test_an_index_of_a_column_that_is_not_there() -> None:
    """Found by fuzzing as a KeyError."""
    data = bytearray(sound())
    size = COLUMNS.index(next(c for c in COLUMNS if c.name == "Size")) + 1
    key, other = (struct.pack("<BBH", KeySegment.DESCENDING, 0, fid) for fid in (size, 99))
    changed = 0
    for page in (page for objid in CATALOGS for page in leaves(data, objid)):
        nodes = [i for i, node in enumerate(page.nodes()) if b"by_size" in node.data]
        for place in (i for i in nodes if key in page.nodes()[i].data):
            node = page.nodes()[place]
            page.replace_data(place, node.data.replace(key, other), node.flags)
            changed += 1
        content = bytearray(page.data)
        stamp(content, page.number)
        data[(page.number + 1) * PAGE : (page.number + 2) * PAGE] = content
    assert changed == len(CATALOGS)
    env = new_env()
    env.put(PATH, bytes(data))
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        with pytest.raises(DataDamaged, match=r"Index by_size is of column 99") as raised:
            session.open_table(database, "Items")
        assert raised.value.jet == Jet.errCatalogCorrupted
        assert raised.value.file == PATH


@pytest.mark.parametrize("other", ["Small", "Large"])
def test_space_is_not_given_back_to_a_tree_that_does_not_own_it(other: str) -> None:
    """Found by fuzzing as a StopIteration: another root page stood for the parent."""
    env = new_env()
    env.put(PATH, sound())
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        table = session.create_table(database, other, COLUMNS[:1])
        if other == "Large":
            table.insert_many({"Id": n} for n in range(9000))
        parent = table.state.tree.root
        items = session.open_table(database, "Items")
        root = next(i for i in items.state.secondary if i.name == "by_tags").tree.root
        items.insert_many({"Id": 1000 + n, "Tags": ["t" * 200, f"{n}"]} for n in range(2000))
    data = bytearray(env.get(PATH))
    content = data[(root + 1) * PAGE : (root + 2) * PAGE]
    external = Page(content, root).external
    header = SpaceHeader.unpack(external)
    assert header.is_multiple
    content = content.replace(external, header._replace(parent=parent).pack(), 1)
    stamp(content, root)
    data[(root + 1) * PAGE : (root + 2) * PAGE] = content
    env.put(PATH, bytes(data))
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        items = session.open_table(database, "Items")
        for number in range(2000):
            items.delete(items.bookmark(1000 + number))
        with pytest.raises(PageDamaged, match="does not own it") as raised:
            maintenance.defragment(session, database)
        assert raised.value.jet == Jet.errSPOwnExtCorrupted


def test_a_header_that_says_it_was_attached_by_a_log_below_0() -> None:
    """Found by fuzzing as an OverflowError: the position is of no meaning in a clean database."""
    header = DatabaseHeader(sound()[:PAGE])
    header.attach = LogPosition(-2, 5, 6)
    env = new_env()
    env.put(PATH, header.sealed() * 2 + sound()[2 * PAGE :])
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(PATH), "Items")
        table.delete(table.bookmark(1))
        assert sum(1 for _ in table.rows()) == 299
