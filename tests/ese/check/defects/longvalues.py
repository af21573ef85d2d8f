"""Defects of long values."""

from __future__ import annotations

from itertools import pairwise

from hotsplit.ese.format.longvalue import LongValueRoot
from hotsplit.ese.format.page import Node, Page
from tests.ese.check.defects.registry import breaks
from tests.ese.check.planted import Planter


def long_root(db: Planter, table: str = "LV") -> tuple[Page, int, Node]:
    """A long value of several chunks that records refer to."""
    for page, i, node in db.nodes(db.table(table).definition.long_value_root):
        if len(node.key) == 8 and i + 2 < page.node_count:
            root = LongValueRoot.unpack(node.data)
            if root.references == 1 and root.size > 4100:
                return page, i, node
    raise LookupError(table)


def set_long_root(db: Planter, **fields: int) -> None:
    page, i, node = long_root(db)
    page.replace_data(i, LongValueRoot.unpack(node.data)._replace(**fields).pack(), node.flags)


@breaks("L54")
def root_node_of_a_long_value_missing(db: Planter) -> None:
    page, i, _ = long_root(db)
    page.delete(i)


@breaks("L54")
def chunk_missing(db: Planter) -> None:
    page, i, _ = long_root(db)
    page.delete(i + 1)


@breaks("L54")
def long_value_shorter_than_its_chunks(db: Planter) -> None:
    set_long_root(db, size=10)


@breaks("L54")
def key_of_a_chunk_of_the_wrong_length(db: Planter) -> None:
    page, i, _ = long_root(db)
    node = page.node(i + 1)
    page.replace_node(i + 1, Node(node.key + b"\0", node.data))


@breaks("L57")
def long_value_longer_than_its_chunks(db: Planter) -> None:
    """By a byte: its last chunk then counts as compressed."""
    page, i, node = long_root(db)
    root = LongValueRoot.unpack(node.data)
    page.replace_data(i, root._replace(size=root.size + 1).pack(), node.flags)


@breaks("L55")
def long_value_missing(db: Planter) -> None:
    """Root node and chunks of one, from the end of a page."""
    lv_root = db.table("Tagged").definition.long_value_root
    for pgno in db.leaves(lv_root)[:-1]:
        page = db.page(pgno)
        nodes = page.nodes()
        starts = [i for i, node in enumerate(nodes) if len(node.key) == 8]
        for start, end in pairwise(starts):
            root = LongValueRoot.unpack(nodes[start].data)
            if root.references == 1 and start and not any(n.is_deleted for n in nodes[start:end]):
                for _ in range(start, end):
                    page.delete(start)
                return
    raise LookupError


@breaks("L56a")
def too_few_references(db: Planter) -> None:
    """Two records of table LV share it; it counts one."""
    for page, i, node in db.nodes(db.table("LV").definition.long_value_root):
        if len(node.key) == 8:
            root = LongValueRoot.unpack(node.data)
            if 2 <= root.references < 1000:
                less = root._replace(references=root.references - 1)
                page.replace_data(i, less.pack(), node.flags)
                return
    page, i, node = long_root(db)
    lid = node.key
    other = next(
        n for _, _, n in db.nodes(db.table("LV").definition.long_value_root)
        if len(n.key) == 8 and n.key != lid and LongValueRoot.unpack(n.data).references == 1
    )  # fmt: skip
    for leaf, k, row in db.nodes(db.table("LV").definition.root):
        mine, theirs = lid[::-1], other.key[::-1]
        if theirs in row.data:
            leaf.replace_data(k, row.data.replace(theirs, mine), row.flags)
            break
    for there, k, n in db.nodes(db.table("LV").definition.long_value_root):
        if n.key == other.key:
            there.replace_data(
                k, LongValueRoot.unpack(n.data)._replace(references=0).pack(), n.flags
            )


@breaks("L56b")
def too_many_references(db: Planter) -> None:
    set_long_root(db, references=3)


@breaks("L56b", "L56c")
def long_value_in_use_partly_deleted(db: Planter) -> None:
    set_long_root(db, references=0xFFFFFFFF)


@breaks("L57")
def chunk_that_looks_compressed(db: Planter) -> None:
    """The last chunk is a byte shorter than it must be, so it counts as compressed."""
    page, i, node = long_root(db)
    chunk = next(
        k for k in range(i + 1, page.node_count)
        if page.node(k).key[:8] == node.key and len(page.node(k).data) > 100
    )  # fmt: skip
    data = page.node(chunk).data
    page.replace_data(chunk, b"\xff" + data[1:-1], page.node(chunk).flags)


@breaks("L58")
def wide_ids_in_an_old_database(db: Planter) -> None:
    header = db.header()
    header.update_major, header.update_minor = 20, 0
    db.set_header(header)
