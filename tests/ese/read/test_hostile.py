"""Damaged databases: no exception but ours, no endless walk, bounded output, honest findings."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import HotsplitError, Jet, ObjectNotFound, PageDamaged
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.page import Page
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table
from tests.conftest import unpack_vector
from tests.expected import compare_rows

SETS = ["crash-p4096-base", "crash-p8192-w10", "crash-p16384-ckpt"]


class Overlay:
    """A database whose pages can be replaced, as recovery does; checksums count as right."""

    def __init__(self, path: Path) -> None:
        db = Database.open(OsEnv(), str(path))
        self.base = db.source
        self.page_size, self.header = db.page_size, db.header
        self.pages: dict[int, bytes] = {}
        self.bad: set[int] = set()
        self.reads = 0

    def read_page(self, pgno: int, /) -> bytes:
        self.reads += 1
        assert self.reads < 200_000, "endless walk"
        if pgno in self.bad:
            raise PageDamaged("bad checksum", position=f"page {pgno}")
        return self.pages.get(pgno) or self.base.read_page(pgno)

    def edit(self, pgno: int, change: Callable[[Page], None]) -> None:
        page = Page(bytearray(self.read_page(pgno)), pgno)
        change(page)
        self.pages[pgno] = bytes(page.data)


@pytest.fixture(params=SETS)
def overlay(request: pytest.FixtureRequest, shared: Path) -> Overlay:
    return Overlay(unpack_vector(request.param) / "recovered" / "test.edb")


def read_all(db: Database) -> int:
    """Read everything; return how many bytes of values came out."""
    size = 0
    for name in db.tables(system=True):
        table = db.table(name)
        size += sum(_size(v) for row in table.values() for v in row)
        for index in table.indexes:
            size += sum(len(e.key) for e in table.entries(index))
    return size


def _size(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(value) if isinstance(value, str | bytes) else 8


def test_flipped_bytes_behind_good_checksums(overlay: Overlay) -> None:
    random_ = random.Random(overlay.page_size)
    most = read_all(Database(overlay)) * 4
    pages = [p for p in range(1, 400) if _readable(overlay, p)]
    for _ in range(60):
        overlay.pages.clear()
        overlay.reads = 0
        for _ in range(random_.choice([1, 3, 12])):
            pgno = random_.choice(pages)
            data = bytearray(overlay.read_page(pgno))
            for _ in range(random_.choice([1, 4, 40])):
                data[random_.choice([random_.randrange(8, 40), random_.randrange(len(data))])] = (
                    random_.choice([0, 0xFF, random_.randrange(256)])
                )
            overlay.pages[pgno] = bytes(data)
        try:
            assert read_all(Database(overlay)) < most
        except HotsplitError as error:
            assert error.jet != Jet.errInternalError


def _readable(overlay: Overlay, pgno: int) -> bool:
    try:
        overlay.read_page(pgno)
    except HotsplitError:
        return False
    return True


def widest_tree(db: Database) -> tuple[Table, list[int]]:
    """The table with the most leaves."""
    tables = [db.table(name) for name in db.tables(system=True)]
    trees = [(t, [leaf.number for leaf in t.tree().leaves()]) for t in tables]
    return max(trees, key=lambda pair: len(pair[1]))


def test_one_bad_leaf_costs_only_its_rows(overlay: Overlay) -> None:
    table, leaves = widest_tree(Database(overlay))
    assert len(leaves) >= 3
    everything = [r.key for r in table.records([])]
    for bad in (leaves[0], leaves[1], leaves[-1]):
        lost = {n.key for n in Page(overlay.read_page(bad), bad).nodes() if not n.is_deleted}
        overlay.bad = {bad}
        db = Database(overlay)
        keys = [r.key for r in db.table(table.name).records([])]
        overlay.bad = set()
        assert keys == [key for key in everything if key not in lost]
        assert db.reporter.counts["tree-page"] == 1


@pytest.mark.parametrize("to", ["itself", "first", "far away", "skip one"])
def test_wrong_links_between_leaves(overlay: Overlay, to: str) -> None:
    """Whatever the links say, each row comes once; what links miss internal pages still name."""
    table, leaves = widest_tree(Database(overlay))
    everything = sorted(r.key for r in table.records([]))
    target = {
        "itself": leaves[1],
        "first": leaves[0],
        "far away": 0x7FEFFFFF,
        "skip one": leaves[3] if len(leaves) > 3 else 0,
    }[to]
    overlay.edit(leaves[1], lambda page: setattr(page, "next", target))
    db = Database(overlay)
    assert sorted(r.key for r in db.table(table.name).records([])) == everything
    assert db.reporter.findings


def test_page_of_another_tree_is_refused(overlay: Overlay) -> None:
    table, leaves = widest_tree(Database(overlay))
    everything = table.count()
    overlay.edit(leaves[2], lambda page: setattr(page, "objid", page.objid + 1))
    db = Database(overlay)
    assert db.table(table.name).count() < everything
    assert any(f.jet == Jet.errBadPageLink for f in db.reporter.findings)


def test_child_pointer_to_the_parent_ends(overlay: Overlay) -> None:
    table, _ = widest_tree(Database(overlay))
    root = table.definition.root

    def loop(page: Page) -> None:
        page.flags &= ~4  # children are said to be internal
        for i in range(page.node_count):
            page.replace_data(i, root.to_bytes(4, "little"), 0)

    overlay.edit(root, loop)
    db = Database(overlay)
    assert db.table(table.name).count() == 0
    with pytest.raises(PageDamaged, match="two pointers"):
        next(db.table(table.name).tree().nodes_from(b"\x7f"))


def test_unreadable_root_is_an_error(overlay: Overlay) -> None:
    db = Database(overlay)
    table = db.table(db.tables()[0])
    overlay.bad = {table.definition.root}
    with pytest.raises(PageDamaged):
        table.count()


def test_shadow_catalog_stands_in(overlay: Overlay) -> None:
    names = Database(overlay).tables(system=True)
    overlay.bad = {4}
    db = Database(overlay)
    assert db.tables(system=True) == names
    assert db.table(names[-1]).columns
    assert db.reporter.counts["catalog"] == 1
    overlay.bad = {4, 24}
    with pytest.raises(PageDamaged):
        Database(overlay).tables()


def test_long_value_without_its_chunk_is_null_with_a_finding(overlay: Overlay) -> None:
    db = Database(overlay)
    table = next(t for t in db if t.definition.long_value_root and t.count())
    tree = table.long_values().tree
    whole = {r.key: r.values for r in table.records()}
    victim = next(leaf for leaf in tree.leaves())
    overlay.edit(victim.number, lambda page: page.delete(1))
    db = Database(overlay)
    rows = {r.key: r.values for r in db.table(table.name).records()}
    changed = [key for key in whole if rows[key] != whole[key]]
    assert len(rows) == len(whole)
    assert changed
    assert db.reporter.counts["value"] >= 1
    assert any(f.jet == Jet.errLVCorrupted for f in db.reporter.findings)


def test_names(overlay: Overlay) -> None:
    db = Database(overlay)
    assert db.table("tAgGeD").name == "Tagged"
    with pytest.raises(ObjectNotFound) as caught:
        db.table("Taged")
    assert "Tagged" in caught.value.hint
    with pytest.raises(ObjectNotFound):
        list(db.table("Tagged").rows(["nobody"]))
    assert list(next(db.table("Tagged").rows(["tBit", "id"]))) == ["tBit", "id"]


def test_the_comparison_notices_everything(shared: Path) -> None:
    """`compare_rows` finds each kind of difference, so an empty result means something."""
    import copy
    import json

    folder = unpack_vector(SETS[0])
    expected = json.loads((folder / "expected.json").read_text())

    def differs(change: Callable[[dict[str, Any]], object]) -> bool:
        wanted = copy.deepcopy(expected)
        change(next(t for t in wanted["tables"] if t["name"] == "Fixed"))
        with Database.open(OsEnv(), str(folder / "recovered" / "test.edb")) as db:
            return bool(compare_rows(db, wanted))

    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda t: t.update(name="Other"),
        lambda t: t["rows"].pop(),
        lambda t: t["rows"].append(t["rows"][0]),
        lambda t: t["rows"][0].update(bm="00"),
        lambda t: t["rows"][0].update(fLong=1),
        lambda t: t["rows"][0].pop("fLong"),
        lambda t: t["rows"][0].update(fBin="h:00"),
        lambda t: t["columns"][0].update(type=5),
        lambda t: t["columns"].pop(),
        lambda t: t["indexes"].pop(),
        lambda t: t["indexes"][0]["entries"].pop(),
        lambda t: t["indexes"][-1]["entries"][0].reverse() or t["indexes"][-1]["entries"].pop(),
    ]
    assert [differs(change) for change in changes] == [True] * len(changes)
    assert not differs(lambda t: None)
