"""The flush map beside a database in use: lost writes are noticed, and nothing else is."""

from __future__ import annotations

import functools
import itertools

import pytest

from hotsplit.errors import HotsplitError, Jet, PageDamaged
from hotsplit.ese.check.databasescan import scan_database
from hotsplit.ese.check.result import ScanResult
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.pages.flushmap import FlushMap
from hotsplit.ese.engine.pages.livestore import LiveStore
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.flushmapfile import FlushMapFile
from hotsplit.ese.format.basics import LogTime, Signature
from hotsplit.ese.format.flushmap import PER_PAGE
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.page import Page
from hotsplit.ese.recovery.assess import assess
from hotsplit.report import Reporter
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH, Watched
from tests.ese.engine.shape import check_database
from tests.faultenv import FaultEnv
from tests.memoryenv import Crash

MAP = f"{FOLDER}/items.jfm"
SETTINGS = Settings(FOLDER, log_size=64 << 10, checkpoint_depth=64 << 10)
SIZE = SETTINGS.page_size


def opened(env: Watched) -> tuple[Instance, Table]:
    instance = Instance.open(env, SETTINGS)
    session = instance.session()
    if not env.exists(PATH):
        database = instance.create_database(PATH)
        return instance, session.create_table(database, "Items", COLUMNS, INDEXES)
    return instance, session.open_table(instance.attach_database(PATH), "Items")


def fill(table: Table, first: int, count: int = 300) -> None:
    with table.session.transaction():
        for number in range(first, first + count):
            table.insert({"Id": number, "Name": f"n{number}", "Body": b"b" * 300})


def worked() -> tuple[Watched, list[bytes]]:
    """Return the files of a clean shutdown, and the database as it was at two others before."""
    files, before = _work()
    env = Watched()
    for path, data in files.items():
        env.put(path, data)
    return env, before


@functools.cache
def _work() -> tuple[dict[str, bytes], list[bytes]]:
    env, before = Watched(), []
    env.mkdir(FOLDER)
    env.sync_dir("/")
    for first in (0, 1000, 2000):
        instance, table = opened(env)
        fill(table, first)
        for row in list(table.rows())[:: first or 1]:
            assert isinstance(row["Id"], int)
            table.update(table.bookmark(row["Id"]), {"Size": first})
        instance.close()
        before.append(env.get(PATH))
    return env.files(), before[:-1]


def verified(env: Watched) -> ScanResult:
    return scan_database(env, PATH, Reporter())


def lost_pages(now: bytes, old: bytes) -> list[int]:
    """Return pages whose flush types tell them from those before, the catalog's aside."""
    kinds = [
        [
            data[(n + 1) * SIZE + 37] >> 7 | (data[(n + 1) * SIZE + 38] & 1) << 1
            for n in range(30, 250)
        ]
        for data in (now, old)
    ]
    return [n for n, (one, other) in enumerate(zip(*kinds, strict=True), 30) if 0 < other != one]


def lose(env: Watched, pgno: int, old: bytes) -> None:
    """The disk holds the page as it was, as if its last write had never happened."""
    data = bytearray(env.get(PATH))
    at = (pgno + 1) * SIZE
    data[at : at + SIZE] = old[at : at + SIZE]
    env.put(PATH, bytes(data))


def test_the_map_of_a_clean_database_agrees_with_every_page() -> None:
    env, _ = worked()
    result = verified(env)
    assert not result.reporter.findings
    assert not result.flush_suspects
    with FlushMapFile.open(env, MAP) as file, DatabaseFile.open(env, PATH) as database:
        assert file.header.is_clean
        assert file.header.belongs_to(database.header)
        known = sum(kind != 0 for kind in file.flush_types(1, database.page_count))
        assert known > 50


def test_lost_writes_are_found_by_verify_and_when_they_are_read() -> None:
    env, before = worked()
    old = before[-1]
    lost = lost_pages(env.get(PATH), old)
    for pgno in lost:
        lose(env, pgno, old)
    found = verified(env).reporter.findings
    assert {(f.rule, f.jet) for f in found} == {("lost-flush", Jet.errReadLostFlushVerifyFailure)}
    assert [f.position for f in found] == [f"page {pgno}" for pgno in lost]
    instance, table = opened(env)
    with pytest.raises(HotsplitError) as error:
        list(table.rows())
    assert error.value.jet == Jet.errReadLostFlushVerifyFailure
    assert error.value.position in [f"page {pgno}" for pgno in lost]
    instance.close()


def test_a_map_of_another_state_is_not_used() -> None:
    env, before = worked()
    env.put(PATH, before[-1])
    assert not verified(env).reporter.findings
    instance, table = opened_anyway(env)
    assert len(list(table.rows())) == 600
    instance.close()
    assert not verified(env).reporter.findings


def flushed(kind: int) -> bytes:
    """Return a page of a flush type."""
    page = Page.new(SIZE, 1, 1, 1, 0)
    page.flags = kind << 15
    return bytes(page.data)


def test_a_map_of_many_pages_is_read_where_it_is_asked() -> None:
    env = FaultEnv()
    env.mkdir(FOLDER)
    database = DatabaseHeader.empty(SIZE)
    stamps = (Signature(number, LogTime()) for number in itertools.count(1))

    def attached() -> FlushMap:
        made = FlushMap(env, PATH, lambda: next(stamps))
        made.begin(database, 1, LogTime())
        return made

    last = 50 * PER_PAGE
    flush_map = attached()
    for pgno in range(1, last, PER_PAGE // 2):
        flush_map.note(pgno, flushed(1))
    flush_map.close(database, LogTime())

    env.reads.clear()
    flush_map = attached()
    flush_map.check(1, flushed(1))
    assert env.reads[MAP] < 5
    flush_map.cut(30 * PER_PAGE)
    flush_map.note(2, flushed(2))
    flush_map.close(database, LogTime())

    flush_map = attached()
    for pgno in range(1, last, PER_PAGE // 2):
        flush_map.check(pgno, flushed(1 if pgno <= 30 * PER_PAGE else 3))  # those cut are unknown
    for pgno, kind in ((2, 1), (1 + 20 * PER_PAGE, 2)):
        with pytest.raises(PageDamaged, match="a write was lost"):
            flush_map.check(pgno, flushed(kind))


def opened_anyway(env: Watched) -> tuple[Instance, Table]:
    """Open a database that is older than the logs: they begin anew."""
    for name in env.listdir(FOLDER):
        if not name.startswith("items"):
            env.remove(f"{FOLDER}/{name}")
    return opened(env)


@pytest.mark.parametrize("crash", [Crash.ALL_KEPT, Crash.ALL_LOST, Crash.SOME_KEPT])
def test_after_a_crash_the_logs_explain_every_difference(crash: Crash) -> None:
    env, _ = worked()
    instance, table = opened(env)
    fill(table, 5000)
    images: list[Watched] = []
    writes = itertools.count()

    def moment(kind: str, path: str) -> None:
        if path == MAP or (path == PATH and next(writes) % 40 == 0):
            images.append(env.image(crash, len(images)))

    env.moment = moment
    for row in list(table.rows())[::40]:
        table.update(table.bookmark(int(str(row["Id"]))), {"Size": 77, "Body": b"c" * 900})
    fill(table, 6000)
    instance.context.cache.flush(1)
    instance.checkpointer.advance()
    fill(table, 7000)
    env.moment = lambda kind, path: None
    instance.close()
    assert len(images) > 8
    differing = 0
    for image in images[:: len(images) // 3]:
        differing += len(verified(image).flush_suspects)
        verdict = assess(image, [FOLDER], [])
        assert not [f for f in verdict.evidence if f.rule == "stale-page"]
        again, rows = opened(image)
        assert len(list(rows.rows())) >= 900
        again.close()
        assert not verified(image).reporter.findings
    assert differing or crash != Crash.ALL_KEPT


def test_no_map_where_none_is_wanted() -> None:
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    with Instance.open(env, Settings(FOLDER, flush_map=False)) as instance:
        instance.create_database(PATH)
    assert not env.exists(MAP)
    assert not verified(env).reporter.findings


def test_databases_of_one_name_do_not_share_a_map() -> None:
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    paths = [PATH, f"{FOLDER}/items.dat", f"{FOLDER}/other.jfm"]
    for _ in range(2):
        with Instance.open(env, SETTINGS) as instance, instance.session() as session:
            for number, path in enumerate(paths):
                if env.exists(path):
                    database = instance.attach_database(path)
                    table = session.open_table(database, "Items")
                else:
                    database = instance.create_database(path)
                    table = session.create_table(database, "Items", COLUMNS, INDEXES)
                fill(table, 1000 * number + 500 * len(list(table.rows())), 100)
        for path in paths:
            assert not scan_database(env, path, Reporter()).reporter.findings
            check_database(env, path)


def test_a_wrong_bit_is_put_right_on_disk() -> None:
    env, _ = worked()
    whole = env.get(PATH)
    data = bytearray(whole)
    flipped = [n for n in range(40, 60) if any(whole[(n + 1) * SIZE :][:SIZE])]
    for pgno in flipped:
        data[(pgno + 1) * SIZE + 3000] ^= 4
    env.put(PATH, bytes(data))
    instance, table = opened(env)
    assert len(list(table.rows())) == 900
    store = instance.databases[1].store
    assert isinstance(store, LiveStore)
    for pgno in flipped:
        store.read_page(pgno)
    assert {f.rule for f in store.reporter.findings} == {"page-corrected"}
    instance.close()
    assert not verified(env).reporter.findings
