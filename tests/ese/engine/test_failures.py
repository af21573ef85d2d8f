"""Disks that fill or fail under an instance: it stops, says why, and opens again without loss."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotsplit.errors import DiskFull, HotsplitError, InstanceDown, IoFailed, Jet
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH
from tests.ese.engine.shape import check_database
from tests.faultenv import FaultEnv

SETTINGS = Settings(FOLDER, log_size=64 << 10, checkpoint_depth=64 << 10, cache_size=512 << 10)


def opened(env: FaultEnv) -> tuple[Instance, Table]:
    env.mkdir(FOLDER)
    instance = Instance.open(env, SETTINGS)
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
