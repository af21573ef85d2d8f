"""Tasks of an event loop that wait for the disk: what they are promised, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import InstanceDown, IoFailed, KeyDuplicate
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import OsEnv
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH
from tests.faultenv import FaultEnv
from tests.memoryenv import Crash

TASKS, EACH = 16, 8


@contextlib.contextmanager
def opened(env: FaultEnv | OsEnv, folder: str = FOLDER) -> Iterator[tuple[Instance, OpenDatabase]]:
    env.mkdir(folder)
    env.sync_dir("/")
    instance = Instance.open(env, Settings(folder))
    try:
        database = instance.create_database(f"{folder}/items.edb")
        with instance.session() as session:
            session.create_table(database, "Items", COLUMNS, INDEXES)
        yield instance, database
    finally:
        instance.close()


async def insert(instance: Instance, database: OpenDatabase, numbers: range) -> None:
    """Insert rows in transactions of one."""
    with instance.session() as session:
        table = session.open_table(database, "Items")
        for number in numbers:
            async with session.transaction():
                table.insert({"Id": number})


async def insert_all(instance: Instance, database: OpenDatabase, first: int = 0) -> None:
    starts = range(first, first + TASKS * EACH, EACH)
    await asyncio.gather(*(insert(instance, database, range(n, n + EACH)) for n in starts))


def ids(env: FaultEnv) -> list[object]:
    """Return the rows that an instance finds after the machine stopped, all unsynced work lost."""
    after = FaultEnv.over(env.crashed(Crash.ALL_LOST, 1))
    with Instance.open(after, Settings(FOLDER)) as instance, instance.session() as session:
        database = next(iter(instance.databases.values()), None)
        table = session.open_table(database or instance.attach_database(PATH), "Items")
        return [row["Id"] for row in table.rows()]


def test_what_was_awaited_is_durable_and_tasks_share_syncs() -> None:
    env = FaultEnv()
    with opened(env) as (instance, database):
        before = instance.counters().log_writes
        asyncio.run(insert_all(instance, database))
        assert ids(env) == list(range(TASKS * EACH))
        assert instance.counters().log_writes - before <= 2 * EACH


def test_a_lazy_transaction_is_durable_after_durable() -> None:
    env = FaultEnv()

    async def work(instance: Instance, database: OpenDatabase) -> None:
        with instance.session() as session:
            table = session.open_table(database, "Items")
            async with session.transaction(lazy=True):
                table.insert({"Id": 1})
            assert ids(env) == []
            await instance.durable()

    with opened(env) as (instance, database):
        asyncio.run(work(instance, database))
        assert ids(env) == [1]


def test_wait_durable_waits_for_a_commit() -> None:
    env = FaultEnv()
    with opened(env) as (instance, database), instance.session() as session:
        table = session.open_table(database, "Items")
        session.begin()
        table.insert({"Id": 1})
        position = session.commit_without_wait()
        assert position is not None
        assert ids(env) == []
        instance.wait_durable(position)
        assert ids(env) == [1]


def test_a_position_behind_the_end_is_the_end() -> None:
    with opened(FaultEnv()) as (instance, _):
        asyncio.run(instance.durable(1 << 62))
        instance.wait_durable(1 << 62)


def test_an_error_rolls_back() -> None:
    async def work(instance: Instance, database: OpenDatabase) -> None:
        with instance.session() as session:
            table = session.open_table(database, "Items")
            table.insert({"Id": 1})
            with pytest.raises(KeyDuplicate):
                async with session.transaction():
                    table.insert({"Id": 2})
                    table.insert({"Id": 1})
            assert session.level == 0
            assert [row["Id"] for row in table.rows()] == [1]

    with opened(FaultEnv()) as (instance, database):
        asyncio.run(work(instance, database))


def test_all_who_wait_learn_that_the_disk_failed() -> None:
    env = FaultEnv()

    async def work(instance: Instance, database: OpenDatabase) -> list[BaseException | None]:
        env.break_device(len(env.changes) + 1)
        tasks = (insert(instance, database, range(n, n + 1)) for n in range(TASKS))
        return await asyncio.gather(*tasks, return_exceptions=True)

    with opened(env) as (instance, database):
        errors = asyncio.run(work(instance, database))
        assert len(errors) == TASKS
        assert all(isinstance(error, IoFailed | InstanceDown) for error in errors)
        with pytest.raises(InstanceDown):
            asyncio.run(instance.durable())


def test_a_cancelled_task_leaves_the_others_waiting() -> None:
    env = FaultEnv()

    async def work(instance: Instance, database: OpenDatabase) -> None:
        tasks = [
            asyncio.create_task(insert(instance, database, range(n, n + 1))) for n in range(TASKS)
        ]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [None] * (TASKS - 1)

    with opened(env) as (instance, database):
        asyncio.run(work(instance, database))
        instance.wait_durable()
        assert ids(env) == list(range(TASKS))  # it had committed


@pytest.mark.parametrize("before", [False, True])
def test_the_end_of_the_instance_serves_all(*, before: bool) -> None:
    """Also in the moment between a task's wait and the call for a sync; nothing goes wrong then."""
    env, wrong = FaultEnv(), list[object]()

    async def work(instance: Instance, database: OpenDatabase) -> None:
        if before:  # then the thread that syncs is there already
            await insert(instance, database, range(1))
        with instance.session() as session:
            session.begin()
            session.open_table(database, "Items").insert({"Id": 1})
            position = session.commit_without_wait()
            asyncio.get_running_loop().set_exception_handler(lambda _, what: wrong.append(what))
        waiting = asyncio.ensure_future(instance.durable(position))
        await asyncio.sleep(0)
        instance.close()
        await asyncio.wait_for(waiting, 10)

    with opened(env) as (instance, database):
        asyncio.run(work(instance, database))
    assert ids(env) == ([0, 1] if before else [1])
    assert not wrong


@pytest.mark.parametrize("loops", [2, 3])
def test_loops_in_several_threads(tmp_path: Path, loops: int) -> None:
    """Real files and real threads: all is there in the end."""
    with opened(OsEnv(), str(tmp_path)) as (instance, database):

        def run(work: Coroutine[Any, Any, None]) -> None:
            asyncio.run(work)

        works = [insert_all(instance, database, n * 1000) for n in range(loops)]
        threads = [threading.Thread(target=run, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        with instance.session() as session:
            rows = session.open_table(database, "Items").rows()
            assert len(list(rows)) == loops * TASKS * EACH
