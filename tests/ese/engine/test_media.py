"""Media that go wrong under an instance: what each fault does, and the event that tells of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hotsplit.errors import AccessDenied, HotsplitError, Jet
from hotsplit.ese.backup.folder import back_up
from hotsplit.ese.check.databasescan import scan_database
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.recovery.events import EventId
from hotsplit.report import Reporter
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH
from tests.ese.engine.events import Events
from tests.ese.engine.shape import check_database
from tests.faultenv import FaultEnv

MAP = f"{FOLDER}/items.jfm"
SETTINGS = Settings(FOLDER, log_size=64 << 10)
SIZE = SETTINGS.page_size
ROWS = 1000


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The files of a database with some rows."""
    env = FaultEnv()
    env.mkdir(FOLDER)
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        database = instance.create_database(PATH)
        table = session.create_table(database, "Items", COLUMNS, INDEXES)
        with session.transaction():
            for number in range(ROWS):
                table.insert({"Id": number, "Name": f"n{number}", "Body": b"b" * 100})
    return env.files()


@pytest.fixture
def env(files: dict[str, bytes]) -> FaultEnv:
    made = FaultEnv()
    for path, data in files.items():
        made.put(path, data)
    return made


def count(instance: Instance) -> int:
    with instance.session() as session:
        table = session.open_table(instance.databases[1], "Items")
        return sum(1 for _ in table.rows()) + sum(1 for _ in table.rows("by_name"))


def data_page(env: FaultEnv) -> int:
    """Return the number of a page with rows, in the middle of the table."""
    shape = check_database(env, PATH)
    pages = sorted(pgno for pgno, owner in shape.owner.items() if owner == "Items")
    return pages[len(pages) // 2]


def flip(env: FaultEnv, pgno: int, *bits: int) -> None:
    data = bytearray(env.get(PATH))
    for bit in bits:
        data[(pgno + 1) * SIZE + 2000 + bit // 8] ^= 1 << bit % 8
    env.put(PATH, bytes(data))


@pytest.mark.parametrize("denied", [PATH, FOLDER, f"{FOLDER}/E00.log"])
def test_what_cannot_be_written_is_not_opened(env: FaultEnv, denied: str) -> None:
    before = env.get(PATH)
    env.deny(denied)
    with pytest.raises(AccessDenied):  # noqa: SIM117 - both may raise
        with Instance.open(env, SETTINGS) as instance:
            instance.attach_database(PATH)
    assert env.get(PATH) == before


def test_a_wrong_bit_is_corrected_rewritten_and_told(env: FaultEnv) -> None:
    pgno = data_page(env)
    whole = env.get(PATH)[(pgno + 1) * SIZE :][:SIZE]
    flip(env, pgno, 5)
    events = Events()
    with Instance.open(env, SETTINGS, events) as instance:
        instance.attach_database(PATH)
        assert count(instance) == 2 * ROWS
        assert env.get(PATH)[(pgno + 1) * SIZE :][:SIZE] == whole
    assert events.numbers.count(EventId.PAGE_CORRECTED) == 1


def test_a_wrong_bit_on_a_disk_that_cannot_be_written_is_corrected_in_memory(env: FaultEnv) -> None:
    pgno = data_page(env)
    flip(env, pgno, 5)
    events = Events()
    instance = Instance.open(env, SETTINGS, events)
    instance.attach_database(PATH)
    env.break_device(len(env.changes) + 1)
    assert count(instance) == 2 * ROWS
    assert EventId.PAGE_CORRECTED in events.numbers
    assert EventId.INSTANCE_STOPPED not in events.numbers


def test_a_damaged_page_is_told_and_everything_else_goes_on(env: FaultEnv) -> None:
    pgno = data_page(env)
    flip(env, pgno, 5, 6, 77, 300)
    events = Events()
    with Instance.open(env, SETTINGS, events) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(PATH), "Items")
        with pytest.raises(HotsplitError) as error:
            list(table.rows())
        assert error.value.jet == Jet.errReadVerifyFailure
        assert events.numbers == [EventId.PAGE_DAMAGED]
        assert table.row(table.bookmark(0)) is not None
        table.insert({"Id": ROWS})
        assert table.row(table.bookmark(ROWS)) is not None


def test_a_read_that_fails_fails_the_statement_only(env: FaultEnv) -> None:
    events = Events()
    with Instance.open(env, SETTINGS, events) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(PATH), "Items")
        env.break_reads(PATH, env.reads[PATH] + 3)
        with pytest.raises(HotsplitError) as error:
            list(table.rows())
        assert error.value.jet == Jet.errDiskIO
        assert events.numbers[-1] == EventId.READ_FAILED
        env.break_reads(PATH, 1 << 40)
        assert count(instance) == 2 * ROWS


def test_a_lost_write_is_told(env: FaultEnv) -> None:
    pgno = data_page(env)
    old = env.get(PATH)
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(PATH), "Items")
        for number in range(ROWS):
            table.update(table.bookmark(number), {"Size": 5})
    data = bytearray(env.get(PATH))
    at = (pgno + 1) * SIZE
    data[at : at + SIZE] = old[at : at + SIZE]
    env.put(PATH, bytes(data))
    events = Events()
    with Instance.open(env, SETTINGS, events) as instance:
        instance.attach_database(PATH)
        with pytest.raises(HotsplitError) as error:
            count(instance)
        assert error.value.jet == Jet.errReadLostFlushVerifyFailure
    assert events.numbers == [EventId.WRITE_LOST]


def test_a_flush_map_that_cannot_be_written_is_done_without(env: FaultEnv) -> None:
    env.deny(MAP)
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(PATH), "Items")
        with session.transaction():
            for number in range(ROWS):
                table.update(table.bookmark(number), {"Size": 5})
    healthy = FaultEnv.over(env)
    assert not scan_database(healthy, PATH, Reporter()).reporter.findings
    check_database(healthy, PATH)
    with Instance.open(healthy, SETTINGS) as instance:
        instance.attach_database(PATH)
        assert count(instance) == 2 * ROWS
    assert not scan_database(healthy, PATH, Reporter()).reporter.findings


def test_what_lies_behind_a_database_goes_when_it_is_attached(env: FaultEnv) -> None:
    """Pages that it grows by are empty, and a backup finds nothing but pages of the database."""
    whole = env.get(PATH)
    env.put(PATH, whole + b"left by another file" * SIZE)
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        database = instance.attach_database(PATH)
        assert len(env.get(PATH)) == len(whole)
        table = session.open_table(database, "Items")
        with session.transaction():
            table.insert_many({"Id": ROWS + n, "Body": bytes(3000)} for n in range(2000))
        back_up(instance, f"{FOLDER}/saved")
    assert len(env.get(PATH)) > len(whole) + 20 * SIZE
    for path in (PATH, f"{FOLDER}/saved/items.edb"):
        assert not scan_database(env, path, Reporter()).bad
    check_database(env, PATH)


def test_a_real_database_with_more_behind_its_end_is_backed_up(shared: Path) -> None:
    """Found by fuzzing: Windows left 16 pages of something else behind the 142 of this one."""
    env = FaultEnv()
    env.mkdir(FOLDER)
    env.put(PATH, (shared / "corpus" / "srum" / "dissect-SRUDB.dat").read_bytes())
    assert scan_database(env, PATH, Reporter()).bad == 16
    with Instance.open(env, replace(SETTINGS, page_size=4096)) as instance:
        instance.attach_database(PATH)
        back_up(instance, f"{FOLDER}/saved")
    for path in (PATH, f"{FOLDER}/saved/items.edb"):
        assert not scan_database(env, path, Reporter()).bad
