"""An index over rows that are there: what it holds, and what others do while it is made."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hotsplit.errors import DiskFull, KeyDuplicate, WriteConflict
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema import indexbuild
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.trees.bulk import insert_sorted
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.columns import Coltyp, Value
from hotsplit.ese.rebuild.sorting import EntrySorter
from tests.ese.engine.cachewatch import CacheWatch
from tests.ese.engine.crashes import Watched
from tests.ese.engine.judge import check_rules
from tests.memoryenv import Crash, MemoryEnv

FOLDER, PATH = "/sg", "/sg/a.edb"
SETTINGS = Settings(FOLDER, log_size=64 << 10, temp_folder="/temp")
COLUMNS = [
    Column("n", Coltyp.LONG),
    Column("name", Coltyp.TEXT, code_page=1252),
    Column("tags", Coltyp.TEXT, code_page=1252, multi_valued=True),
]
PRIMARY = Index("pk", ["n"], primary=True)
ROWS = 3000


def made_rows() -> list[dict[str, Value]]:
    rng = random.Random(1)
    return [
        {
            "n": n,
            "name": None if n % 10 == 0 else f"name {rng.randrange(1000):04d}",
            "tags": [f"tag {t}" for t in rng.sample(range(50), rng.randrange(4))],
        }
        for n in range(ROWS)
    ]


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MemoryEnv, Instance, Session, Table]]:
    """An instance with rows; indexes over them take several sorted runs."""
    monkeypatch.setattr(indexbuild, "_RUN", 200_000)
    env = MemoryEnv()
    for folder in (FOLDER, "/temp"):
        env.mkdir(folder)
    env.sync_dir("/")
    with Instance.open(env, SETTINGS) as instance, instance.session() as session:
        table = session.create_table(instance.create_database(PATH), "t", COLUMNS, [PRIMARY])
        table.insert_many(made_rows())
        yield env, instance, session, table


def in_order(column: str, *, nulls: bool) -> list[tuple[str | None, int]]:
    """The entries that an index over a column has: (value, row), NULL first."""
    found: list[tuple[str | None, int]] = []
    for row in made_rows():
        number, value = row["n"], row[column]
        assert isinstance(number, int)
        values = value if isinstance(value, list) else [value]
        for one in values or [None]:
            assert one is None or isinstance(one, str)
            if one is not None or nulls:
                found.append((one, number))
    return sorted(found, key=lambda entry: (entry[0] is not None, entry[0] or "", entry[1]))


@pytest.mark.parametrize(("column", "nulls"), [("name", True), ("name", False), ("tags", True)])
def test_every_row_is_entered(
    filled: tuple[MemoryEnv, Instance, Session, Table], column: str, nulls: bool
) -> None:
    env, instance, session, table = filled
    session.create_index(table, Index("i", [column], nulls=nulls))
    numbers = [row["n"] for row in session.open_table(table.state.database, "t").rows("i")]
    assert numbers == [number for _, number in in_order(column, nulls=nulls)]
    assert env.listdir("/temp") == []
    instance.close()
    check_rules(env, PATH)


def test_what_fits_into_memory_is_sorted_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    for run in (indexbuild._RUN, 200_000):
        monkeypatch.setattr(indexbuild, "_RUN", run)
        env = Watched()
        env.mkdir(FOLDER)
        env.mkdir("/temp")
        env.moment = lambda kind, path: made.append(path) if path.startswith("/temp/") else None
        with Instance.open(env, SETTINGS) as instance, instance.session() as session:
            table = session.create_table(instance.create_database(PATH), "t", COLUMNS, [PRIMARY])
            table.insert_many(made_rows())
            session.create_index(table, Index("i", ["name"]))
        assert bool(made) == (run == 200_000)


def test_a_unique_index_with_equal_keys_leaves_nothing(
    filled: tuple[MemoryEnv, Instance, Session, Table],
) -> None:
    env, instance, session, table = filled
    with session.transaction():
        table.insert({"n": -1, "name": "of the transaction"})
        with pytest.raises(KeyDuplicate):
            session.create_index(table, Index("i", ["name"], unique=True))
        assert [index.name for index in table.state.definition.indexes] == ["pk"]
        session.create_index(table, Index("i", ["n", "name"], unique=True))
    assert table.cursor("i").seek(-1, "of the transaction")
    instance.close()
    check_rules(env, PATH)


def test_others_read_and_write_meanwhile_but_not_to_the_table(
    filled: tuple[MemoryEnv, Instance, Session, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    env, instance, session, table = filled
    other = instance.session()
    theirs = other.open_table(table.state.database, "t")
    second = session.create_table(table.state.database, "second", COLUMNS, [PRIMARY])
    others = other.open_table(table.state.database, "second")
    calls: list[int] = []

    def between(*arguments: object) -> None:
        calls.append(len(calls))
        assert theirs.get(5) is not None
        with pytest.raises(WriteConflict):
            theirs.insert({"n": ROWS + len(calls)})
        others.insert({"n": len(calls)})
        insert_sorted(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(indexbuild, "insert_sorted", between)
    session.create_index(table, Index("i", ["name"]))
    assert len(calls) > 2
    assert len(list(second.rows())) == len(calls)
    theirs.insert({"n": ROWS, "name": "afterwards"})
    assert theirs.cursor("i").seek("afterwards")
    other.close()
    instance.close()
    check_rules(env, PATH)


def test_what_fails_in_the_middle_is_taken_back(
    filled: tuple[MemoryEnv, Instance, Session, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    env, instance, session, table = filled
    calls: list[int] = []

    def fail(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise DiskFull("no space")
        insert_sorted(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(indexbuild, "insert_sorted", fail)
        with pytest.raises(DiskFull):
            session.create_index(table, Index("i", ["name"]))
    assert env.listdir("/temp") == []
    table.insert({"n": ROWS})
    session.create_index(table, Index("i", ["name"]))
    assert len(list(table.rows("i"))) == ROWS + 1
    instance.close()
    check_rules(env, PATH)


def test_a_crash_in_the_middle_leaves_no_index(
    filled: tuple[MemoryEnv, Instance, Session, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    env, instance, session, table = filled
    images: list[MemoryEnv] = []

    def watched(*arguments: object) -> None:
        insert_sorted(*arguments)  # type: ignore[arg-type]
        instance.context.log.flush()
        images.append(env.crashed(Crash.ALL_LOST))

    monkeypatch.setattr(indexbuild, "insert_sorted", watched)
    session.create_index(table, Index("i", ["name"]))
    assert len(images) > 2
    for image in images:
        with Instance.open(image, SETTINGS) as again, again.session() as reader:
            found = reader.open_table(again.attach_database(PATH), "t")
            assert [index.name for index in found.state.definition.indexes] == ["pk"]
            assert [row["n"] for row in found.rows()] == list(range(ROWS))
        check_rules(image, PATH)


def test_indexes_of_several_databases_at_a_time(
    filled: tuple[MemoryEnv, Instance, Session, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their objects may have the same ids, what is sorted has files of its own."""
    _, instance, session, table = filled
    paths: list[str] = []

    def sorter(env: Env, path: str, run: int) -> EntrySorter:
        paths.append(path)
        return EntrySorter(env, path, run)

    monkeypatch.setattr(indexbuild, "EntrySorter", sorter)
    other = instance.create_database("/sg/b.edb")
    twin = session.create_table(other, "t", COLUMNS, [PRIMARY])
    for one in (table, twin):
        session.create_index(one, Index("i", ["name"]))
    objids = [one.state.secondary[0].tree.objid for one in (table, twin)]
    assert objids[0] == objids[1]
    assert len(set(paths)) == 2


def test_pages_that_are_read_do_not_outgrow_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    env = Watched()
    for folder in FOLDER, "/temp":
        env.mkdir(folder)
    env.sync_dir("/")
    settings = replace(SETTINGS, page_size=4096, cache_size=256 << 10)
    with Instance.open(env, settings) as instance, instance.session() as session:
        table = session.create_table(instance.create_database(PATH), "T", COLUMNS, [PRIMARY])
        with session.transaction(lazy=True):
            table.insert_many({"n": n, "name": f"{n % 97} {'x' * 150}"} for n in range(6000))
        watch = CacheWatch(monkeypatch)
        session.create_index(table, Index("by_name", ["name"]))
        session.begin()
        assert 0 < watch.most < 192  # pages: 64 of the cache, and what a batch of entries fills
        names = [row["name"] for row in table.rows("by_name")]
        assert names == sorted(names, key=str)
        assert len(names) == 6000
    check_rules(env, PATH)
