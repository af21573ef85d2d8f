"""Disks that fill or fail under an instance: it stops, says why, and opens again without loss."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hotsplit.errors import DiskFull, HotsplitError, InstanceDown, IoFailed, Jet
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.files.env import OsEnv, OsFile
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH
from tests.ese.engine.shape import check_database
from tests.faultenv import FaultEnv
from tests.memoryenv import Crash, MemoryEnv

ALL = os.environ.get("FAULTS") == "all"
SETTINGS = Settings(FOLDER, log_size=64 << 10, checkpoint_depth=64 << 10, cache_size=512 << 10)


def opened(env: FaultEnv, settings: Settings = SETTINGS) -> tuple[Instance, Table]:
    env.mkdir(FOLDER)
    instance = Instance.open(env, settings)
    session = instance.session()
    table = session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
    return instance, table


def fill(table: Table, first: int) -> None:
    with table.session.transaction():
        for number in range(first, first + 20):
            table.insert({"Id": number, "Name": f"n{number}", "Body": b"b" * 700})


@pytest.mark.parametrize(
    ("fault", "error", "jet"),
    [
        (FaultEnv.fill_disk, DiskFull, None),
        (FaultEnv.break_device, IoFailed, Jet.errDiskIO),
    ],
)
@pytest.mark.parametrize("after", [0, 3, 8, 15, 40])
def test_a_failing_disk_stops_the_instance(
    fault: Callable[[FaultEnv, int], None],
    error: type[HotsplitError],
    jet: Jet | None,
    after: int,
) -> None:
    env = FaultEnv()
    instance, table = opened(env)
    fill(table, 0)
    fault(env, len(env.changes) + 1 + after)
    done = 20
    with pytest.raises(HotsplitError) as failed:
        for _ in range(200):
            fill(table, done)
            done += 20
    assert isinstance(failed.value, error | InstanceDown)
    assert jet is None or failed.value.jet == jet
    with pytest.raises(InstanceDown):
        table.insert({"Id": 1_000_000})
    with pytest.raises(InstanceDown):
        table.session.begin()
    instance.close()

    healthy = FaultEnv()
    healthy.root = env.root
    with Instance.open(healthy, SETTINGS) as again, again.session() as session:
        items = session.open_table(again.attach_database(PATH), "Items")
        found = [row["Id"] for row in items.rows()]
        assert found[:done] == list(range(done))
        assert len(found) in (done, done + 20)
        fill(items, 10_000)
    check_database(healthy, PATH)


OTHER = f"{FOLDER}/other.edb"


def work_of_two_databases(instance: Instance, done: dict[str, int]) -> None:
    """Fill two databases, move the checkpoint, take one of them off and on again.

    done: rows by path that are committed.
    """
    tables = {}
    for path in (PATH, OTHER):
        session = instance.session()
        database = instance.create_database(path)
        tables[path] = session.create_table(database, "Items", COLUMNS, INDEXES)
        done[path] = 0

    def fill_both() -> None:
        for _ in range(3):
            for path, table in tables.items():
                fill(table, done[path])
                done[path] += 20

    fill_both()
    while instance.idle():
        pass
    with instance.freeze():
        pass
    instance.detach_database(tables[OTHER].state.database)
    database = instance.attach_database(OTHER)
    tables[OTHER] = instance.session().open_table(database, "Items")
    fill_both()


def databases_after(env: MemoryEnv, done: dict[str, int], settings: Settings = SETTINGS) -> None:
    """All rows that were committed are there, and the databases in order."""
    with Instance.open(env, settings) as again:
        for path, count in done.items():
            with again.session() as session:
                items = session.open_table(again.attach_database(path), "Items")
                found = [row["Id"] for row in items.rows()]
            assert found[:count] == list(range(count)), path
            assert len(found) in (count, count + 20)
    for path in done:
        check_database(env, path)


def test_what_a_failed_sync_was_for_is_not_taken_for_durable() -> None:
    """The device fails once, in every place; all is kept, whether the machine stops then or not.

    If it does not, the instance is opened again on what memory may show and the device does not.
    """
    env = FaultEnv()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    with Instance.open(env, SETTINGS) as instance:
        work_of_two_databases(instance, {})
        changes = list(enumerate(env.changes, 1))
    begun = next(n for n, change in changes if change == ("write", f"{FOLDER}/other.jfm"))
    places = [(PATH, "sync"), (OTHER, "sync"), (OTHER, "write"), (f"{FOLDER}/E00.log", "sync")]
    points = [n for n, (kind, path) in changes if n > begun and (path, kind) in places]
    assert len(points) > 40
    for point in points if ALL else random.Random(1).sample(points, 14):
        env, stopped = FaultEnv(), True
        done: dict[str, int] = {}
        env.mkdir(FOLDER)
        env.sync_dir("/")
        env.break_once(point)
        instance = Instance.open(env, SETTINGS)
        with pytest.raises(HotsplitError):
            work_of_two_databases(instance, done)
            stopped = False
            instance.close()
        with pytest.raises(InstanceDown):
            instance.context.check()
        databases_after(env.crashed(Crash.ALL_LOST), done)
        if stopped:
            instance.close()
        databases_after(env.crashed(Crash.ALL_LOST), done)
        databases_after(env, done)
        databases_after(env.crashed(Crash.ALL_LOST), done)


def test_a_close_that_fails_leaves_what_mends_torn_pages() -> None:
    """A page that a rollback needs cannot be read; then the machine stops."""
    env, settings = FaultEnv(), Settings(FOLDER, cache_size=128 << 10)
    instance, table = opened(env, settings)
    env.sync_dir("/")
    for number in range(0, 2000, 20):
        fill(table, number)
    table.session.begin()
    for number in range(0, 2000, 7):
        table.update(table.bookmark(number), {"Name": f"changed{number}"})
    env.break_reads(PATH, env.reads[PATH] + 1)
    with pytest.raises(IoFailed):
        instance.close()
    with pytest.raises(InstanceDown):
        instance.context.check()
    for seed in range(2):
        databases_after(env.crashed(Crash.TORN, seed), {PATH: 2000}, settings)


def test_locks_go_also_when_a_file_cannot_be_closed(tmp_path: Path) -> None:
    class Failing(OsFile):
        def close(self) -> None:
            super().close()
            if self.path.endswith(".edb"):
                raise IoFailed("Input/output error", file=self.path)

    settings, path = Settings(str(tmp_path), log_size=64 << 10), str(tmp_path / "items.edb")
    instance = Instance.open(OsEnv(), settings)
    instance.create_database(path)
    instance.close()
    failing = Instance.open(OsEnv(Failing), settings)
    failing.attach_database(path)
    with pytest.raises(IoFailed):
        failing.close()
    with Instance.open(OsEnv(), settings) as again:
        assert again.attach_database(path).table_names() == []


def test_a_page_that_cannot_be_read_is_never_data() -> None:
    env = FaultEnv()
    instance, table = opened(env)
    with table.session.transaction():
        for number in range(3000):
            table.insert({"Id": number, "Name": f"n{number}"})
    instance.close()
    damaged = FaultEnv.over(env)
    content = bytearray(damaged.get(PATH))
    for page in range(60, 110):
        content[page * 8192 + 4000] ^= 0x0F
    damaged.put(PATH, bytes(content))
    with Instance.open(damaged, SETTINGS) as again, again.session() as session:
        items = session.open_table(again.attach_database(PATH), "Items")
        with pytest.raises(HotsplitError) as error:
            list(items.rows())
        assert error.value.jet == Jet.errReadVerifyFailure
