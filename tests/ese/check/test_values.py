"""Long values that index keys are made of: told before they are asked for, and read at once."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from hotsplit import _native
from hotsplit._native import integrity_py
from hotsplit.ese.check.catalogrows import CatalogRows
from hotsplit.ese.check.rowplan import LastIds, TableShape, index_plan, layout_of
from hotsplit.ese.check.values import RowValues
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag, Segment, TableDef
from hotsplit.ese.format.columns import Coltyp, ColumnDef
from hotsplit.ese.format.longvalue import parse_lid
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.format.taggedcolumns import TaggedField, TagHeader, build_fields
from hotsplit.ese.read.database import Database
from tests.ese.rebuild.samples import recovered

KERNELS: list[Any] = [integrity_py, _native.load("integrity")]


class Asked:
    """Stands for the long values of a table, and keeps what it is asked for."""

    def __init__(self, values: Any) -> None:
        self.lids: list[int] = []
        self._values = values
        self.value: bytes | None = None

    def __call__(self, separated: bool, data: bytes, most: int) -> bytes | None:
        if separated:
            self.lids.append(parse_lid(data))
            if self.value is not None:
                return self.value
        found: bytes | None = self._values.fetch(separated, data, most)
        return found


def leaves(db: Database, kernel: Any) -> tuple[list[list[int]], list[list[int]]]:
    """For each leaf of table Tagged: the long values told to be needed, those asked for."""
    table = db.table("Tagged")
    definition = table.definition
    groups = {group.objid: group for group in CatalogRows(table.tree().pages, 4, 2).tables()}
    shape = TableShape(definition, groups[definition.objid].last_ids)
    asked = Asked(RowValues(table.long_values()))
    plans = [index_plan(shape, index, kernel.Ledger(12, False))
             for index in definition.indexes if not index.is_primary]  # fmt: skip
    rows = kernel.Rows(layout_of(shape, db.page_size, None), None,
                       [plan for plan in plans if plan is not None], asked, [])  # fmt: skip
    rows.set_references(kernel.Ledger(12, False))
    tree = kernel.Tree(db.page_size, definition.objid, 0x800, 1 << 60, 2000, rows, [])
    told, used = [], []
    for pgno in table.tree().leaf_order():
        page = bytes(table.tree().leaf(pgno).data)
        told.append([parse_lid(lid) for lid in tree.wanted(page)])
        asked.lids = []
        tree.leaves(page, pgno, Page(page, pgno).is_root, None, [None])
        used.append(asked.lids)
    return told, used


@pytest.mark.parametrize("name", ["crash-p4096-ckpt", "crash-p16384-mid"])
def test_what_is_asked_for_was_told(name: str) -> None:
    results = []
    with Database.open(OsEnv(), str(recovered(name))) as db:
        for kernel in KERNELS:
            told, used = leaves(db, kernel)
            results.append(told)
            assert sum(map(len, used)) > 1
            assert all(set(one) <= set(other) for one, other in zip(used, told, strict=True))
    assert results[0] == results[1]


def test_the_compiled_kernel_asks_once_for_the_value_of_many_tuples() -> None:
    """An index of parts of a text makes many entries of one value."""
    kernel = KERNELS[1]
    if kernel is integrity_py:
        pytest.skip("needs the compiled kernel")
    column = ColumnDef("text", 256, Coltyp.LONG_TEXT, code_page=1252)
    index = IndexDef("i", 9, 60, int(IndexFlag.EXTENDED_SEGMENTS), (Segment(256),),
                     tuple_limits=struct.pack("<5I", 3, 10, 100, 1, 0))  # fmt: skip
    shape = TableShape(TableDef("t", 8, 40, columns=[column]), LastIds.of([256]))
    field = TaggedField(256, False, int(TagHeader.LONG | TagHeader.SEPARATED), bytes([5, 0, 0, 0]))
    record = bytes([0, 127, 4, 0]) + build_fields([field], large=False)
    flags = PageFlag.NEW_RECORD | PageFlag.NEW_CHECKSUM | PageFlag.LEAF
    page = Page.new(4096, 50, 8, 1, flags)
    page.fill(b"", [Node(b"a", record), Node(b"b", record)])
    asked = Asked(RowValues(None))
    asked.value = b"some text of forty-two letters and blanks."
    ledger = kernel.Ledger(12, False)
    rows = kernel.Rows(layout_of(shape, 4096, None), None, [index_plan(shape, index, ledger)],
                       asked, [])  # fmt: skip
    rows.set_references(kernel.Ledger(12, False))
    tree = kernel.Tree(4096, 8, 0x800, 1 << 60, 2000, rows, [])
    tree.leaves(bytes(page.data), 50, False, None, [None])
    assert asked.lids == [5, 5]
    assert ledger.counts[0] == 2 * 40


def test_prefetched_values_are_those_that_are_read_one_by_one() -> None:
    with Database.open(OsEnv(), str(recovered("crash-p4096-ckpt"))) as db:
        table = db.table("Tagged")
        told, _ = leaves(db, integrity_py)
        ids = [lid.to_bytes(8 if lid >> 63 else 4, "little") for one in told for lid in one]
        plain, ready = RowValues(table.long_values()), RowValues(table.long_values())
        ready.prefetch(ids)
        for lid in ids:
            value = plain.fetch(True, lid, 255)
            assert value
            assert ready.fetch(True, lid, 255) == value


def test_bad_ids_are_nobodys() -> None:
    values = RowValues(None)
    values.prefetch([b"", b"12345", bytes(4)])
    assert values.fetch(True, b"12345", 10) is None
    assert values.fetch(True, (5).to_bytes(4, "little"), 10) is None
    assert values.fetch(False, b"\x18\xff\xff", 10) is None
