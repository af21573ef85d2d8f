"""Freeze and thaw: nothing changes meanwhile, nobody waits longer than the deadline."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hotsplit.errors import FreezeExpired, InstanceDown, InvalidUse, IoFailed, Jet
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.recovery.events import EventId
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH, by_number
from tests.ese.engine.events import Events
from tests.ese.engine.shape import check_database
from tests.faultenv import FaultEnv
from tests.memoryenv import Crash, MemoryEnv

SETTINGS = Settings(FOLDER, log_size=64 << 10, checkpoint_depth=64 << 10, cache_size=512 << 10)


class Writers:
    """Threads that insert and commit without pause. done: numbers of rows that are durable."""

    def __init__(self, instance: Instance, count: int) -> None:
        self._instance = instance
        self.done: list[set[int]] = [set() for _ in range(count)]
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, lane: int) -> None:
        with self._instance.session() as session:
            (database,) = self._instance.databases.values()
            table = session.open_table(database, "Items")
            number = (lane + 1) << 20
            while not self._end.is_set():
                with session.transaction():
                    for n in range(number, number + 3):
                        table.insert({"Id": n, "Name": f"n{n}", "Body": b"b" * 300})
                self.done[lane] |= set(range(number, number + 3))
                number += 3

    def all_done(self) -> set[int]:
        return set().union(*self.done)

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.all_done()) >= count)

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def until(condition: Callable[[], bool]) -> None:
    """Wait for it; a thread that died would let a test wait for ever."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < 30
        time.sleep(0.005)


@contextmanager
def working(env: MemoryEnv, writers: int) -> Iterator[tuple[Instance, Writers]]:
    env.mkdir(FOLDER)
    env.sync_dir("/")
    with Instance.open(env, SETTINGS) as instance:
        with instance.session() as session:
            session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
        at_work = Writers(instance, writers)
        try:
            yield instance, at_work
        finally:
            at_work.stop()


@contextmanager
def one_instant() -> Iterator[None]:
    """Keep other threads from running, wherever they are."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.5)
    time.sleep(0.02)  # those that wait for their turn now do so with the usual interval
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def rows_after_recovery(env: MemoryEnv) -> set[int]:
    recover(env, [FOLDER], [], "/copy")
    check_database(env, "/copy/items.edb")
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(PATH), "Items")
        return set(by_number(table.rows()))


def test_nothing_changes_while_it_is_frozen() -> None:
    env = FaultEnv()
    with working(env, 3) as (instance, writers):
        writers.wait_for(300)
        with instance.freeze() as freeze:
            before, done = len(env.changes), writers.all_done()
            image = env.crashed(Crash.ALL_LOST, 0)  # all that counts is durable
            until(lambda: bool(instance.context.lock.waiting))
            time.sleep(0.2)
            assert len(env.changes) == before
        until(lambda: writers.all_done() != done)
    report = freeze.report
    assert report is not None
    assert not report.expired
    assert report.held >= 0.2
    assert 1 <= report.waiters <= 3
    assert 0.2 <= report.longest <= report.held
    assert report.longest <= report.total <= 3 * report.longest
    assert rows_after_recovery(image) >= done


def filled(instance: Instance) -> Table:
    (database,) = instance.databases.values()
    table = instance.session().open_table(database, "Items")
    with table.session.transaction():
        for number in range(600):
            body = b"b" * (5000 if number % 9 == 0 else 300)
            table.insert({"Id": number, "Name": f"n{number}", "Size": number % 5, "Body": body})
    return table


def read_all(instance: Instance) -> int:
    """Read in all ways; return how many rows there are."""
    (database,) = instance.databases.values()
    assert database.table_names() == ["Items"]
    assert instance.counters().pages > 0
    with instance.session() as session, session.transaction():
        table = session.open_table(database, "Items")
        found = by_number(table.rows())
        assert table.get(9) == found[9]
        assert sum(1 for _ in table.rows("by_size")) == len(found)
        assert sum(len(batch) for batch in table.batches()) == len(found)
        cursor = table.cursor("by_name")
        assert cursor.seek("n18")
        assert cursor.row() == found[18]
        session.begin()
        session.rollback()
    return len(found)


def test_readers_go_on() -> None:
    env = FaultEnv()
    with working(env, 0) as (instance, _):
        table = filled(instance)
        writer = table.session
        writer.begin()
        table.insert({"Id": 1000})
        ended: list[str] = []

        def end() -> None:
            writer.commit()
            ended.append("commit")

        waiting = threading.Thread(target=end)
        with instance.freeze() as freeze:
            before = len(env.changes)
            assert read_all(instance) == 600
            assert table.get(1000) is not None
            waiting.start()
            until(lambda: bool(instance.context.lock.waiting))
            assert read_all(instance) == 600
            assert len(env.changes) == before
            assert not ended
        waiting.join()
        assert freeze.report is not None
        assert freeze.report.waiters == 1
        assert read_all(instance) == 601


def test_readers_and_writers_through_many_freezes() -> None:
    env = FaultEnv()
    with working(env, 0) as (instance, _):
        filled(instance)
        writers = Writers(instance, 2)
        stop, counts, failures = threading.Event(), [0], list[BaseException]()

        def read() -> None:
            try:
                while not stop.is_set():
                    assert read_all(instance) >= 600
                    counts[0] += 1
            except BaseException as error:
                failures.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for _ in range(4):
                with instance.freeze():
                    before, count = len(env.changes), counts[0]
                    until(lambda count=count: counts[0] > count + 1 or bool(failures))  # type: ignore[misc]
                    assert len(env.changes) == before
                done = writers.all_done()
                until(lambda done=done: writers.all_done() != done)  # type: ignore[misc]
        finally:
            stop.set()
            reader.join()
            writers.stop()
        assert not failures


def test_reading_writes_nothing_of_what_it_meets() -> None:
    """Neither pages that the cache is too small for, nor one with a wrong bit."""
    env = FaultEnv()
    with working(env, 0) as (instance, _):
        filled(instance)
        instance.close()
    content = bytearray(env.get(PATH))
    leaf = next(n for n in range(20, 200) if b"n300" in content[n * 8192 : (n + 1) * 8192])
    content[leaf * 8192 + 4000] ^= 0x10
    env.put(PATH, bytes(content))
    small = dataclasses.replace(SETTINGS, cache_size=128 << 10)
    told = Events()
    with Instance.open(env, small, told) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(PATH), "Items")
        with session.transaction():
            for number in range(40):
                table.update(table.bookmark(number), {"Size": 7})
        with instance.freeze():
            before = len(env.changes)
            assert read_all(instance) == 600
            assert len(env.changes) == before
        assert EventId.PAGE_CORRECTED in told.numbers
        assert read_all(instance) == 600
        assert len(env.changes) > before
    check_database(env, PATH)


def test_a_copy_of_one_instant_needs_no_freeze() -> None:
    env = MemoryEnv()
    with working(env, 2) as (_, writers):
        for wanted in (60, 200, 400, 700):
            writers.wait_for(wanted)
            done = writers.all_done()
            with one_instant():
                image = env.crashed(Crash.ALL_KEPT, 0)
            assert rows_after_recovery(image) >= done


def test_the_watchdog_thaws_at_the_deadline() -> None:
    with working(MemoryEnv(), 1) as (instance, writers):
        instance.watch = told = Events()
        freeze = instance.freeze(deadline=0.3)
        freeze.begin()
        done = writers.all_done()
        until(lambda: writers.all_done() != done)
        with pytest.raises(FreezeExpired) as expired:
            freeze.thaw()
        assert expired.value.jet == Jet.errOSSnapshotTimeOut
        assert freeze.report is not None
        assert freeze.report.expired
        with instance.freeze(), pytest.raises(InvalidUse) as twice:
            instance.freeze().begin()
        assert told.numbers == [
            *(EventId.FROZEN, EventId.FREEZE_EXPIRED),
            *(EventId.FROZEN, EventId.THAWED),
        ]
        assert twice.value.jet == Jet.errOSSnapshotNotAllowed


def test_a_busy_instance_is_not_waited_for_without_end() -> None:
    with working(MemoryEnv(), 0) as (instance, _):
        lock = instance.context.lock
        found: list[BaseException] = []

        def freeze() -> None:
            try:
                instance.freeze(deadline=0.2).begin()
            except FreezeExpired as error:
                found.append(error)

        thread = threading.Thread(target=freeze)
        with lock:
            thread.start()
            thread.join()
        assert len(found) == 1
        assert instance.context.lock is lock


def test_an_instance_that_stopped_cannot_be_frozen() -> None:
    env = FaultEnv()
    with working(env, 0) as (instance, _), instance.session() as session:
        (database,) = instance.databases.values()
        table = session.open_table(database, "Items")
        env.break_device(len(env.changes) + 1)
        with pytest.raises(IoFailed), session.transaction():
            table.insert({"Id": 1})
        with pytest.raises(InstanceDown):
            instance.freeze().begin()


@pytest.mark.parametrize("deadline", [0, -1, float("inf"), float("nan")])
def test_a_freeze_has_an_end(deadline: float) -> None:
    with working(MemoryEnv(), 0) as (instance, _):
        with pytest.raises(InvalidUse) as error:
            instance.freeze(deadline)
        assert error.value.jet == Jet.errInvalidParameter
