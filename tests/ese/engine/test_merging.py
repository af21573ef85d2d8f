"""Deletions give pages back: leaves are unlinked and joined, branches go; logs replay that."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.format.logrecord import NO_DBTIME, UNIQUE, LogRecord, decode
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.shape import Shape, check_database
from tests.memoryenv import Crash, MemoryEnv

FOLDER, PATH = "/sg", "/sg/items.edb"
SETTINGS = Settings(FOLDER, page_size=4096, log_size=256 << 10)
EMPTY_PAGE, FULL_RIGHT, FULL_LEFT = 1, 2, 5
EMPTIED = 4


def open_table(env: MemoryEnv) -> tuple[Instance, Table]:
    env.mkdir(FOLDER)
    env.sync_dir("/")
    instance = Instance.open(env, SETTINGS)
    columns = [
        Column("Id", Coltyp.LONG, not_null=True),
        Column("Name", Coltyp.TEXT, code_page=1252),
    ]
    indexes = [Index("pk", ["Id"], primary=True), Index("by_name", ["Name"])]
    database = instance.create_database(PATH)
    return instance, instance.session().create_table(database, "Items", columns, indexes)


def insert(table: Table, numbers: list[int]) -> None:
    with table.session.transaction():
        for number in numbers:
            table.insert({"Id": number, "Name": f"{'long name ' * 15}{number % 97:5} {number}"})


def delete(table: Table, numbers: list[int]) -> None:
    with table.session.transaction():
        for number in numbers:
            table.delete(table.bookmark(number))


def records(env: Env) -> list[LogRecord]:
    """Return all records in the logs."""
    found: list[LogRecord] = []
    names = [name for name in env.listdir(FOLDER) if name.endswith(".log")]
    for name in sorted(names, key=lambda name: (name == "E00.log", name)):
        with LogFile.open(env, f"{FOLDER}/{name}") as log:
            found += [decode(raw) for _, raw in log.records()]
    return found


def kinds(env: Env) -> Counter[int]:
    """Return how often leaves were merged in which way."""
    return Counter(r.merge_type for r in records(env) if r.type == T.MERGE2 and r.merge_type)


def check_what_others_rely_on(env: Env) -> None:
    """Check what redo of the published engine takes from records, which ours does not need.

    It takes what a page above had before a merge from the record of the page below it, and whether
    a tree is unique from whatever record of it comes first, one of its space perhaps.
    """
    above: LogRecord | None = None
    known: dict[tuple[int, int], tuple[int, int]] = {}
    for record in records(env):
        if record.type == T.MERGE2:
            parent = (0, NO_DBTIME) if above is None else (above.pgno, above.dbtime_before)
            assert (record.pgno_parent, record.dbtime_parent_before) == parent
            above = record
        elif record.type == T.MACRO_BEGIN:
            above = None
        fields = record.as_dict()
        if fields.keys() >= {"fdp", "objid", "flags"}:
            tree = record.fdp, record.flags & UNIQUE
            assert known.setdefault((record.dbid, record.objid), tree) == tree


def pages_of(shape: Shape, name: str) -> int:
    return sum(owner == name for owner in shape.owner.values())


ORDERS: dict[str, Callable[[list[int]], list[int]]] = {
    "ascending": lambda numbers: numbers,
    "descending": lambda numbers: numbers[::-1],
    "random": lambda numbers: random.Random(5).sample(numbers, len(numbers)),
}


@pytest.mark.parametrize("order", ORDERS)
def test_pages_of_deleted_rows_are_used_again(order: str) -> None:
    env = MemoryEnv()
    instance, table = open_table(env)
    numbers = list(range(1800))
    insert(table, numbers)
    gone = ORDERS[order](numbers)[:1720]
    for start in range(0, len(gone), 200):
        delete(table, gone[start : start + 200])
    left = sorted(set(numbers) - set(gone))
    assert [row["Id"] for row in table.rows()] == left
    instance.cleaner.run()
    insert(table, gone)
    size = instance.databases[1].store.page_count
    delete(table, gone)
    instance.cleaner.run()
    insert(table, gone)
    assert instance.databases[1].store.page_count == size
    delete(table, gone)
    instance.close()
    shape = check_database(env, PATH)
    assert pages_of(shape, "Items") < 30
    assert pages_of(shape, "Items/by_name") < 30
    found = kinds(env)
    assert found[EMPTY_PAGE] > 10
    if order == "random":
        assert found[FULL_RIGHT] > 10
        assert found[FULL_LEFT]
    with Database.open(env, PATH) as database:
        assert [row["Id"] for row in database.table("Items").rows()] == left
    check_what_others_rely_on(env)


def test_a_queue_does_not_grow() -> None:
    """Rows come at the end and go at the begin: pages above lose their children one by one."""
    env = MemoryEnv()
    instance, table = open_table(env)
    session, database = table.session, instance.databases[1]
    columns = [Column("Id", Coltyp.LONG, not_null=True)]
    columns += [Column(f"B{n}", Coltyp.BINARY) for n in range(7)]
    queue = session.create_table(database, "Q", columns, [Index("pk", ["Id"], primary=True)])
    for start in range(0, 3000, 100):
        with session.transaction():
            for number in range(start, start + 100):
                queue.insert({"Id": number} | {f"B{n}": b"b" * 250 for n in range(7)})
            for number in range(start - 700, start - 600) if start >= 700 else ():
                queue.delete(queue.bookmark(number))
    pages = database.store.page_count
    assert pages <= 254 + 2 * 256
    delete(queue, list(range(2300, 3000)))
    instance.close()
    emptied = [r for r in records(env) if r.type == T.MERGE2 and r.merge_flags & EMPTIED]
    assert any(not r.merge_type for r in emptied), "no page above a leaf was given up"
    assert pages_of(check_database(env, PATH), "Q") == 1
    check_what_others_rely_on(env)


@pytest.mark.parametrize("seed", range(2))
def test_replay_makes_the_same_database(seed: int) -> None:
    """All logs applied to the database as it began give the rows, trees and space."""
    env = MemoryEnv()
    instance, table = open_table(env)
    rng = random.Random(seed)
    rows: set[int] = set()
    old = env.get(PATH)
    for _ in range(20):
        new = rng.sample(range(1500), 150)
        insert(table, [n for n in new if n not in rows])
        rows |= set(new)
        gone = rng.sample(sorted(rows), min(len(rows), rng.choice((50, 400))))
        delete(table, gone)
        rows -= set(gone)
    instance.context.log.flush()
    crashed = env.crashed(Crash.ALL_KEPT, seed)
    crashed.put(PATH, old)
    recover(crashed, [FOLDER], [], "/out")
    with Database.open(crashed, "/out/items.edb") as database:
        assert {row["Id"] for row in database.table("Items").rows()} == rows
    check_database(crashed, "/out/items.edb")
    assert kinds(env)[FULL_RIGHT]
