"""Defects of the entries of indexes."""

from __future__ import annotations

import struct

from hotsplit.ese.format.page import Node, NodeFlag, PageFlag
from tests.ese.check.defects.registry import breaks
from tests.ese.check.planted import Planter


@breaks("X59b")
def index_entry_missing(db: Planter) -> None:
    db.page(db.table("Fixed").index("i_date").root).delete(2)


@breaks("X59b")
def unicode_index_entry_missing(db: Planter) -> None:
    db.page(db.leaves(db.table("Var").index("i_uni_bin").root)[0]).delete(2)


@breaks("X59a", "X59b")
def unicode_index_entry_of_another_key(db: Planter) -> None:
    """It leads to its row, but not from where the row's text sorts."""
    page = db.page(db.leaves(db.table("Var").index("i_uni_bin").root)[0])
    node = page.node(2)
    page.replace_node(2, Node(node.key[:-1] + bytes([node.key[-1] ^ 1]), node.data))


@breaks("R51")
def key_column_of_unicode_text_changed(db: Planter) -> None:
    old, new = ("coop November charli" + end for end in "ef")
    for page, i, node in db.nodes(db.table("Var").definition.root):
        if old.encode("utf-16-le") in node.data:
            text = node.data.replace(old.encode("utf-16-le"), new.encode("utf-16-le"))
            page.replace_data(i, text, node.flags)
            return
    raise LookupError(old)


def other_flags(record: bytes) -> bytes:
    """Make an index leave out symbols and spaces, by its row in the catalog."""
    assert record.count(struct.pack("<I", 0x30401)) == 1
    return record.replace(struct.pack("<I", 0x30401), struct.pack("<I", 0x30405))


@breaks("X61")
def index_sorted_by_other_weights(db: Planter) -> None:
    db.change_catalog("Var", 3, "i_uni_bin", other_flags)


@breaks("X61")
def table_sorted_by_other_weights(db: Planter) -> None:
    db.change_catalog("Var", 3, "pk", other_flags)


@breaks("X59a")
def record_deleted_under_an_index(db: Planter) -> None:
    root = db.table("NoPK").definition.root
    page = db.page(db.leaves(root)[0])
    page.delete(next(i for i, n in enumerate(page.nodes()) if i and b"\x05" not in n.data[-9:]))


@breaks()
def records_in_the_format_of_old_engines(db: Planter) -> None:
    """Of a table without tagged columns, for which both formats are the same."""
    db.page(db.table("Auto64").definition.root).flags &= ~PageFlag.NEW_RECORD


@breaks()
def index_entry_versioned(db: Planter) -> None:
    db.page(db.table("Fixed").index("i_date").root).set_node_flags(0, NodeFlag.VERSION)
