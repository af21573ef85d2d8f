"""Why pages are written: each reason, and nothing but it, when its cause is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hotsplit.errors import InstanceDown
from hotsplit.ese.engine.counters import PageWrites
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.format.columns import Coltyp
from tests.memoryenv import Crash, MemoryEnv

PATH = "/sg/a.edb"


def settings(cache: int = 64 << 20, depth: int = 20 << 20) -> Settings:
    return Settings("/sg", log_size=64 << 10, cache_size=cache, checkpoint_depth=depth)


def opened(options: Settings) -> tuple[MemoryEnv, Instance]:
    env = MemoryEnv()
    env.mkdir("/sg")
    env.sync_dir("/")
    instance = Instance.open(env, options)
    instance.create_database(PATH)
    return env, instance


def table(instance: Instance) -> Table:
    session = instance.session()
    columns = [Column("n", Coltyp.LONG), Column("data", Coltyp.LONG_BINARY)]
    database = next(iter(instance.databases.values()))
    return session.create_table(database, "t", columns, [Index("pk", ["n"], primary=True)])


def fill(into: Table, numbers: range | list[int]) -> None:
    for n in numbers:
        with into.session.transaction():
            into.insert({"n": n, "data": n.to_bytes(4, "big") * 250})


@pytest.fixture
def quiet() -> Iterator[tuple[MemoryEnv, Instance]]:
    """An instance with room for everything: nothing is written before it must be."""
    env, instance = opened(settings())
    yield env, instance
    instance.close()


def test_nothing_is_written_while_there_is_room(quiet: tuple[MemoryEnv, Instance]) -> None:
    _, instance = quiet
    fill(table(instance), range(300))
    counters = instance.counters()
    assert counters.page_writes == PageWrites()
    assert counters.dirty_pages > 30
    assert counters.log_writes >= 300
    assert counters.log_bytes > 300 * 1000
    assert counters.log_depth > 300 * 1000


def test_a_deep_checkpoint_makes_normal_and_opportune_writes() -> None:
    _, instance = opened(settings(depth=256 << 10))
    fill(table(instance), range(2000))
    counters = instance.counters()
    assert counters.page_writes.normal > 0
    assert counters.page_writes.opportune > 0
    assert counters.page_writes.idle == counters.page_writes.anomalous == 0
    assert counters.log_depth < counters.log_bytes
    instance.close()


def test_want_of_memory_makes_anomalous_writes() -> None:
    _, instance = opened(settings(cache=512 << 10))
    fill(table(instance), range(2000))
    counters = instance.counters()
    assert counters.page_writes.anomalous > 0
    assert counters.page_writes.normal == counters.page_writes.idle == 0
    assert counters.pages <= (512 << 10) // 8192
    before = counters.page_reads
    with instance.session() as session:
        database = next(iter(instance.databases.values()))
        assert len(list(session.open_table(database, "t").rows())) == 2000
    assert instance.counters().page_reads > before
    instance.close()


def test_idle_work_leaves_nothing_to_recover(quiet: tuple[MemoryEnv, Instance]) -> None:
    env, instance = quiet
    fill(table(instance), range(3000))
    calls = 0
    while instance.idle():
        calls += 1
        assert calls < 100
    assert calls > 0  # one batch of pages at a time
    counters = instance.counters()
    assert counters.dirty_pages == 0
    assert counters.page_writes.idle > 256
    assert counters.page_writes.normal == counters.page_writes.anomalous == 0
    assert counters.log_depth < 2 * (64 << 10)
    assert not instance.idle()
    assert instance.counters().page_writes == counters.page_writes

    with Instance.open(env.crashed(Crash.ALL_LOST), settings()) as after:
        assert after.restarted is not None
        assert after.restarted.last - after.restarted.first <= 1
        with after.session() as session:
            found = session.open_table(after.attach_database(PATH), "t")
            assert [row["n"] for row in found.rows()] == list(range(3000))


def test_idle_work_removes_what_nobody_sees(quiet: tuple[MemoryEnv, Instance]) -> None:
    _, instance = quiet
    rows = table(instance)
    fill(rows, range(50))
    with instance.session() as reader:
        other = reader.open_table(rows.state.database, "t")
        with reader.reading():
            assert len(list(other.rows())) == 50
            with rows.session.transaction():
                rows.delete(rows.bookmark(1))
            held = instance.counters().versions
            assert held > 0
            instance.idle()
            assert instance.counters().versions == held
    while instance.idle():
        pass
    assert instance.counters().versions == 0


def test_a_page_that_is_written_twice_counts_as_repeated(
    quiet: tuple[MemoryEnv, Instance],
) -> None:
    _, instance = quiet
    rows = table(instance)
    fill(rows, [1])
    while instance.idle():
        pass
    first = instance.counters().page_writes
    assert first.repeated == 0
    fill(rows, [2])
    while instance.idle():
        pass
    again = instance.counters().page_writes
    assert again.repeated == again.total - first.total > 0


def test_an_instance_that_is_closed_does_nothing() -> None:
    _, instance = opened(settings())
    instance.close()
    with pytest.raises(InstanceDown):
        instance.idle()
