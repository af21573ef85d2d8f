"""The rows of all parts, one after the other, are those of the table; else nothing is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hotsplit.ese.format.page import Page
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.parts import LeafRange, OutOfOrder, leaf_ranges
from hotsplit.ese.read.table import Table
from hotsplit.report import Reporter
from tests.conftest import unpack_vector
from tests.ese.read.test_hostile import widest_tree
from tests.ese.read.test_labels import RunOverlay

SETS = ["crash-p4096-ckpt", "crash-p4096-base"]


@pytest.fixture(params=SETS)
def overlay(request: pytest.FixtureRequest, shared: Path) -> RunOverlay:
    return RunOverlay(unpack_vector(request.param) / "recovered" / "test.edb")


@pytest.mark.parametrize("bytes_", [1 << 24, 1 << 11], ids=["plain", "cut"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 10_000])
def test_parts_are_the_whole(
    overlay: RunOverlay, count: int, bytes_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where batches are cut for their long values, and leaves are read again."""
    monkeypatch.setattr("hotsplit.ese.read.batches._VALUE_BYTES", bytes_)
    db = Database(overlay)
    several = 0
    for name in db.tables(system=True):
        table = db.table(name)
        leaves = [leaf.number for leaf in table.tree().leaves()]
        parts = leaf_ranges(table.tree(), count)
        assert [pgno for part in parts for pgno in part.leaves] == leaves
        assert len(parts) == min(count, len(leaves))
        several += len(parts) > 1
        whole = list(table.values())
        assert [row for part in parts for row in table.values(part=part)] == whole
    assert several or count == 1


def _read(table: Table, parts: list[LeafRange]) -> int:
    """Read all parts; return how many of them cannot be used."""
    refused = 0
    for part in parts:
        try:
            list(table.values([], part=part))
        except OutOfOrder:
            refused += 1
    return refused


@pytest.mark.parametrize(
    "to", ["itself", "first", "last", "far away", "nowhere", "the next but one"]
)
@pytest.mark.parametrize("at", ["inside", "end"])
def test_links_that_lead_elsewhere_are_noticed(overlay: RunOverlay, to: str, at: str) -> None:
    table, leaves = widest_tree(Database(overlay))
    assert len(leaves) > 6
    parts = leaf_ranges(table.tree(), 2)
    place = 1 if at == "inside" else len(parts[0].leaves) - 1
    target = {
        "itself": leaves[place],
        "first": leaves[0],
        "last": leaves[-1],
        "far away": 0x7FEFFFFF,
        "nowhere": 0,
        "the next but one": leaves[place + 2],
    }[to]
    overlay.edit(leaves[place], lambda page: setattr(page, "next", target))
    assert _read(Database(overlay).table(table.name), parts) == 1


@pytest.mark.parametrize("place", [0, 1, -1])
def test_leaves_that_cannot_be_read_are_noticed(overlay: RunOverlay, place: int) -> None:
    table, leaves = widest_tree(Database(overlay))
    parts = leaf_ranges(table.tree(), 3)
    overlay.edit(leaves[place], lambda page: setattr(page, "objid", 0x7FFF))
    assert _read(Database(overlay).table(table.name), parts) == 1


@pytest.mark.parametrize("child", [0, 0x7FEFFFFF, "twice"])
def test_trees_that_name_wrong_leaves_are_one_part(overlay: RunOverlay, child: int | str) -> None:
    table, leaves = widest_tree(Database(overlay))
    root = table.definition.root
    parent = next(
        pgno for pgno in _internal(overlay, root) if leaves[1] in _children(overlay, pgno)
    )
    number = leaves[0] if child == "twice" else child
    assert isinstance(number, int)
    overlay.edit(parent, _pointing(_children(overlay, parent).index(leaves[1]), number))
    found = table.through(overlay, Reporter())
    assert len(leaf_ranges(found.tree(), 3)) == 1


def _internal(overlay: RunOverlay, root: int) -> list[int]:
    page = Page(overlay.read_page(root), root)
    if page.is_leaf:
        return []
    below = [pgno for child in _children(overlay, root) for pgno in _internal(overlay, child)]
    return [root, *below]


def _children(overlay: RunOverlay, pgno: int) -> list[int]:
    nodes = Page(overlay.read_page(pgno), pgno).nodes()
    return [int.from_bytes(node.data, "little") for node in nodes]


def _pointing(number: int, to: int) -> Callable[[Page], None]:
    def change(page: Page) -> None:
        old = page.node(number).data
        at = bytes(page.data).rindex(bytes(old), 40)
        page.data[at : at + 4] = to.to_bytes(4, "little")

    return change
