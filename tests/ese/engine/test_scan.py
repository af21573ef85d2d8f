"""Columns of a table in use: the same rows as one by one, whatever others do meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from hotsplit.errors import InvalidUse, PageDamaged, WriteConflict
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables import scan
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.format.columns import Value
from hotsplit.ese.format.page import Page
from hotsplit.ese.read import batches
from hotsplit.ese.read.batch import Batch
from tests.ese.engine.crashes import COLUMNS, FOLDER, INDEXES, PATH
from tests.memoryenv import MemoryEnv

ROWS = 200


class Others:
    """Sessions that change rows of a table, one of them in an open transaction."""

    def __init__(self, instance: Instance, sessions: list[Session], seed: int) -> None:
        self.rng = random.Random(seed)
        database = next(iter(instance.databases.values()))
        self.tables = [session.open_table(database, "Items") for session in sessions]
        self.instance = instance

    def change(self, times: int) -> None:
        for _ in range(times):
            table = self.rng.choice(self.tables)
            number = self.rng.randrange(ROWS)
            mark = table.bookmark(number)
            try:
                if table.row(mark) is None:
                    table.insert(self.row(number))
                elif self.rng.random() < 0.5:
                    table.update(mark, self.row(number))
                else:
                    table.delete(mark)
            except WriteConflict:
                continue

    def row(self, number: int) -> dict[str, Value]:
        size = self.rng.choice((0, 10, 500, 3000, 9000))
        body = self.rng.randbytes(size) if size else None
        tags: Value = ["a", "b"] if self.rng.random() < 0.5 else None
        return {"Id": number, "Size": self.rng.randrange(9), "Tags": tags, "Body": body}


def values(found: Iterator[Batch]) -> list[list[Value]]:
    return [row for batch in found for row in batch.values()]


@pytest.fixture(params=[4096, 32768])
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    env = MemoryEnv()
    env.mkdir(FOLDER)
    settings = Settings(FOLDER, page_size=request.param, cache_size=1 << 20)
    with Instance.open(env, settings) as made:
        yield made


def fill(instance: Instance, session: Session, seed: int) -> tuple[Table, Others, Session]:
    """Return a table with rows, and two that change it: one in steps, one in a transaction."""
    table = session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
    other, slow = instance.session(), instance.session()
    others = Others(instance, [other, slow], seed)
    with session.transaction():
        for number in range(0, ROWS, 2):
            table.insert(others.row(number))
    slow.begin()
    others.change(60)
    return table, others, slow


@pytest.mark.parametrize("seed", range(3))
def test_batches_are_the_rows_whatever_others_do(
    instance: Instance, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_LEAVES", 2)
    monkeypatch.setattr(batches, "_VALUE_BYTES", 40_000)  # batches are cut in the middle
    with instance.session() as session:
        table, others, slow = fill(instance, session, seed)
        for step in range(4):
            with session.reading():
                expected = [list(row.values()) for row in table.rows()]
                found = []
                for batch in table.batches(size=others.rng.choice((1, 7, 1000)), keys=True):
                    found += list(batch.values())
                    assert batch.key_values() == [table.bookmark(row[0]) for row in batch.values()]
                    others.change(3)
                assert found == expected
                assert values(table.batches(["Body", "Id"])) == [[r[4], r[0]] for r in expected]
            if step == 1:
                slow.rollback()
                slow.begin()


def test_own_changes_are_seen(instance: Instance) -> None:
    with instance.session() as session:
        table, others, _ = fill(instance, session, 9)
        session.begin()
        free = list(range(ROWS, ROWS + 40))
        for number in free:
            table.insert(others.row(number))
        for number in free[::2]:
            table.update(table.bookmark(number), {"Name": f"{number}" * 60})
        for number in free[::3]:
            table.delete(table.bookmark(number))
        assert values(table.batches()) == [list(row.values()) for row in table.rows()]
        session.rollback()
        assert values(table.batches()) == [list(row.values()) for row in table.rows()]


def test_arrow_has_the_same_rows(instance: Instance) -> None:
    pytest.importorskip("pyarrow")
    with instance.session() as session:
        table, _, _ = fill(instance, session, 5)
        found = table.to_arrow(["Id", "Tags", "Body"]).to_pylist()
        expected = [{k: row[k] for k in ("Id", "Tags", "Body")} for row in table.rows()]
        assert found == expected


def test_an_unknown_column(instance: Instance) -> None:
    with instance.session() as session:
        table, _, _ = fill(instance, session, 5)
        with pytest.raises(InvalidUse, match="no column Nothing"):
            table.batches(["Nothing"])


def test_a_scan_does_not_outgrow_the_cache(instance: Instance) -> None:
    with instance.session() as session:
        table, _, slow = fill(instance, session, 5)
        slow.rollback()
        page_size = instance.context.settings.page_size
        budget = max(64, instance.context.settings.cache_size // page_size)
        with session.transaction():
            for number in range(1000, 1000 + 2 * budget):
                table.insert({"Id": number, "Body": bytes(page_size // 5)})
                assert instance.context.core.resident() < budget + 40
        highest = 0
        with session.reading():
            for _ in table.batches(size=50):
                highest = max(highest, instance.context.core.resident())
            for _ in table.rows():
                highest = max(highest, instance.context.core.resident())
        assert highest < budget + 100


def test_links_in_a_circle_are_damage(instance: Instance) -> None:
    with instance.session() as session:
        table, _, slow = fill(instance, session, 5)
        slow.rollback()
        with session.transaction():
            for number in range(1000, 3000):
                table.insert({"Id": number, "Body": bytes(200)})
        first = table.state.tree.find(b"")
        following = int.from_bytes(first.page[20:24], "little")
        second = table.state.tree.page(following)
        link = bytes(second[20:24])
        second[20:24] = first.pgno.to_bytes(4, "little")
        with pytest.raises(PageDamaged, match="leaf"):
            values(table.batches())
        second[20:24] = link


@pytest.mark.parametrize("at", [16, 20])
def test_a_circle_of_leaves_without_visible_rows_is_damage(instance: Instance, at: int) -> None:
    mark = b"\xff" * 9
    with instance.session() as session, instance.session() as older:
        table, _, slow = fill(instance, session, 0)
        slow.rollback()
        older.begin()
        with session.transaction():
            for number in range(1000, 3000):
                table.insert({"Id": number, "Body": bytes(200)})
        tree = table.state.tree
        found = tree.find(mark)
        link = bytes(found.page[at : at + 4])
        found.page[at : at + 4] = found.pgno.to_bytes(4, "little")
        with pytest.raises(PageDamaged, match="circle"):
            if at == 20:
                tree.entries_after(older, (mark, b""), inclusive=True)
            else:
                tree.entries_before(older, (mark, b""))
        found.page[at : at + 4] = link
        older.rollback()


def test_a_way_down_that_has_no_end_is_damage(instance: Instance) -> None:
    with instance.session() as session:
        table, _, slow = fill(instance, session, 5)
        slow.rollback()
        with session.transaction():
            for number in range(1000, 3000):
                table.insert({"Id": number, "Body": bytes(200)})
        tree = table.state.tree
        root = Page(tree.page(tree.root), tree.root)
        last = root.node(root.node_count - 1)
        root.replace_data(root.node_count - 1, tree.root.to_bytes(4, "little"), last.flags)
        for look in (tree.last_key, lambda: tree.find(b"\xff" * 9), lambda: tree.path(b"\xff" * 9)):
            with pytest.raises(PageDamaged, match="no end"):
                look()
        root.replace_data(root.node_count - 1, last.data, last.flags)
