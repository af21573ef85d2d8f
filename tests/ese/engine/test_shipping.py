"""Log positions told to those who wait; logs that somebody needs stay."""

from __future__ import annotations

import threading

import pytest

from hotsplit.errors import InstanceDown, IoFailed
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH
from tests.ese.engine.shape import check_database
from tests.faultenv import FaultEnv

CIRCULAR = Settings(
    FOLDER, log_size=64 << 10, checkpoint_depth=64 << 10, cache_size=512 << 10, circular=True
)


def opened(env: FaultEnv) -> tuple[Instance, Table]:
    env.mkdir(FOLDER)
    instance = Instance.open(env, CIRCULAR)
    session = instance.session()
    return instance, session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)


def fill(table: Table, first: int, count: int) -> None:
    for number in range(first, first + count):
        with table.session.transaction(lazy=number + 1 < first + count):
            table.insert({"Id": number, "Body": b"b" * 900})


def test_a_shipper_gets_every_log_of_a_circular_stream() -> None:
    env = FaultEnv()
    instance, table = opened(env)
    log, files = instance.context.log, instance.context.files
    with instance.context.lock:
        hold = instance.context.holds.add("shipper", instance.logs.range().lowest)
    shipped: dict[int, bytes] = {}
    first = hold.generation

    def ship() -> None:
        generation = first
        while log.progress.wait_closed(generation):
            shipped[generation] = env.get(files.archive_path(generation))
            generation += 1
            with instance.context.lock:
                hold.generation = generation

    def ship_until_the_end() -> None:
        with pytest.raises(InstanceDown, match="closed"):
            ship()

    thread = threading.Thread(target=ship_until_the_end)
    thread.start()
    fill(table, 0, 600)
    last = log.progress.closed_generation
    instance.close()
    thread.join(30)
    assert not thread.is_alive()
    assert list(shipped) == list(range(first, first + len(shipped)))
    assert last - first < len(shipped) <= last - first + 2
    for generation, content in shipped.items():
        env.put(f"/ship/E00{generation:08X}.log", content)
    assert first == 1
    recover(env, ["/ship"], [], "/replica")
    assert check_database(env, "/replica/items.edb").nodes


def test_logs_are_kept_as_long_as_they_are_held() -> None:
    instance, table = opened(FaultEnv())
    with instance.context.lock:
        hold = instance.context.holds.add("shipper", 1)
    fill(table, 0, 400)
    with instance.context.lock:
        instance.checkpointer.advance()
        found = instance.logs.range()
        assert (found.lowest, found.held) == (1, 1)
        assert found.checkpoint > 3
        assert instance.logs.truncate(found.current) == (0, 0)
        hold.generation = 3
        assert instance.logs.truncate(found.current) == (1, 2)
        instance.context.holds.release(hold)
        assert instance.logs.truncate(found.current) == (3, found.checkpoint - 1)
        assert instance.logs.range().lowest == found.checkpoint
    instance.close()


def test_waiting_for_a_position() -> None:
    env = FaultEnv()
    instance, table = opened(env)
    progress = instance.context.log.progress
    assert progress.wait(instance.context.log.durable, 0.01) == instance.context.log.durable
    assert not progress.wait_closed(instance.context.log.generation, 0.01)
    before = instance.context.log.durable
    table.session.begin()
    table.insert({"Id": 1})
    position = table.session.commit_without_wait()
    assert position is not None
    assert progress.wait(before, 0.01) == before
    instance.context.log.flush(position)
    assert progress.wait(position, 0) > position
    env.break_device(len(env.changes) + 1)
    with pytest.raises(IoFailed), table.session.transaction():
        table.insert({"Id": 2})
    with pytest.raises(InstanceDown, match="stopped"):
        progress.wait(instance.context.log.end)
    instance.close()
