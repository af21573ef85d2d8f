"""The disk of the logs is full: what is under way ends in the reserves, then the instance does."""

from __future__ import annotations

import pytest

from hotsplit.errors import DiskFull, InstanceDown, Jet
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.format.columns import Value
from hotsplit.ese.recovery.events import EventId
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH
from tests.ese.engine.events import Events
from tests.ese.engine.shape import check_database
from tests.faultenv import FaultEnv


class Rig:
    def __init__(self, *, circular: bool = False) -> None:
        self.env, self.seen = FaultEnv(), Events()
        self.env.mkdir(FOLDER)
        self.settings = Settings(
            FOLDER, log_size=64 << 10, checkpoint_depth=64 << 10, circular=circular
        )
        self.instance = Instance.open(self.env, self.settings, self.seen)
        self.database = self.instance.create_database(PATH)
        self.session = self.instance.session()
        self.table = self.session.create_table(self.database, "Items", COLUMNS, INDEXES)
        self.done = 0
        with self.session.transaction():
            for _ in range(300):
                self.insert()
        self.instance.context.cache.flush(self.database.dbid)

    def insert(self, table: Table | None = None) -> None:
        (table or self.table).insert({"Id": self.done, "Body": b"b" * 700})
        self.done += 1

    def fill(self) -> None:
        """Go on in one transaction until the disk is full."""
        with pytest.raises(DiskFull) as error:
            while self.done < 5000:
                self.insert()
        assert error.value.jet == Jet.errLogDiskFull

    def rows_after_all(self) -> list[Value]:
        """Open once more, with space, and look."""
        healthy = FaultEnv()
        healthy.root = self.env.root
        with Instance.open(healthy, self.settings) as again, again.session() as session:
            table = session.open_table(again.attach_database(PATH), "Items")
            found = [row["Id"] for row in table.rows()]
            self.restarted = again.restarted
            self.insert(table)
        check_database(healthy, PATH)
        return found


def test_what_is_under_way_is_committed_then_all_is_shut_down() -> None:
    rig = Rig()
    rig.env.quota = rig.env.used() + (200 << 10)
    rig.session.begin()
    rig.fill()
    assert rig.seen.numbers == [EventId.LOG_DISK_LOW]
    with pytest.raises(DiskFull):
        rig.insert()
    assert rig.table.get(0) is not None
    rig.session.commit()
    assert rig.seen.numbers == [EventId.LOG_DISK_LOW, EventId.INSTANCE_STOPPED]
    with pytest.raises(InstanceDown) as down:
        rig.session.begin()
    assert down.value.jet == Jet.errInstanceUnavailableDueToFatalLogDiskFull
    rig.instance.close()
    rig.env.quota = rig.env.used()
    with pytest.raises(DiskFull) as still:
        Instance.open(rig.env, rig.settings)
    assert still.value.jet == Jet.errLogDiskFull
    expected: list[Value] = list(range(rig.done))
    assert rig.rows_after_all() == expected
    assert rig.restarted is None  # it was clean


def test_what_is_under_way_can_be_rolled_back() -> None:
    rig = Rig()
    rig.env.quota = rig.env.used() + (100 << 10)
    rig.session.begin()
    rig.fill()
    rig.session.rollback()
    assert rig.seen.numbers == [EventId.LOG_DISK_LOW, EventId.INSTANCE_STOPPED]
    assert rig.rows_after_all() == list(range(300))
    assert rig.restarted is None


def test_all_sessions_may_end_what_they_have_begun() -> None:
    rig = Rig()
    other = rig.instance.session()
    table = other.open_table(rig.database, "Items")
    rig.env.quota = rig.env.used() + (100 << 10)
    other.begin()
    table.update(table.bookmark(7), {"Size": 7})
    rig.session.begin()
    rig.fill()
    rig.session.commit()
    assert rig.seen.numbers == [EventId.LOG_DISK_LOW]
    other.commit()
    assert rig.seen.numbers == [EventId.LOG_DISK_LOW, EventId.INSTANCE_STOPPED]
    expected: list[Value] = list(range(rig.done))
    assert rig.rows_after_all() == expected


def test_space_that_comes_back_is_used_at_once() -> None:
    rig = Rig()
    rig.env.quota = rig.env.used() + (100 << 10)
    rig.session.begin()
    rig.fill()
    rig.env.quota = None
    for _ in range(200):
        rig.insert()
    rig.session.commit()
    rig.instance.close()
    assert rig.seen.numbers == [EventId.LOG_DISK_LOW]
    expected: list[Value] = list(range(rig.done))
    assert rig.rows_after_all() == expected


def test_circular_logs_make_room_for_themselves() -> None:
    rig = Rig(circular=True)
    rig.env.quota = rig.env.used() + (1 << 20)
    for _ in range(6000):
        rig.table.update(rig.table.bookmark(1), {"Name": f"n{rig.done}", "Body": b"b" * 700})
    rig.instance.close()
    assert EventId.INSTANCE_STOPPED not in rig.seen.numbers
    assert rig.rows_after_all() == list(range(300))


def test_a_rollback_that_the_reserves_cannot_hold_is_left_to_recovery() -> None:
    rig = Rig()
    rig.session.begin()
    for _ in range(400):
        rig.insert()
    rig.env.quota = rig.env.used() + (10 << 10)
    rig.fill()
    with pytest.raises(DiskFull) as error:
        for _ in range(3):
            rig.instance.context.log.roll()
    assert error.value.jet == Jet.errLogDiskFull
    assert rig.seen.numbers == [EventId.LOG_DISK_LOW, EventId.LOG_DISK_FULL]
    with pytest.raises(InstanceDown) as down:
        rig.session.rollback()
    assert down.value.jet == Jet.errInstanceUnavailableDueToFatalLogDiskFull
    rig.instance.close()
    assert rig.rows_after_all() == list(range(300))


def test_no_room_for_pages_on_their_way() -> None:
    rig = Rig()
    rig.instance.close()
    rig.env.quota = rig.env.used() + (1 << 20)
    with pytest.raises(DiskFull) as error:
        Instance.open(rig.env, rig.settings)
    assert error.value.jet == Jet.errLogDiskFull
    assert rig.rows_after_all() == list(range(300))
