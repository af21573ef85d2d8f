"""Defects of the space of trees."""

from __future__ import annotations

import struct

from hotsplit.ese.format.page import Node, NodeFlag, Page
from hotsplit.ese.format.space import Extent, SpaceHeader
from tests.ese.check.defects.registry import breaks
from tests.ese.check.planted import Planter


def set_space(db: Planter, root: int, **fields: int) -> None:
    page = db.page(root)
    page.set_external(SpaceHeader.unpack(page.external)._replace(**fields).pack())


@breaks("S28a")
def unknown_flag_in_the_space_header(db: Planter) -> None:
    root = db.table("Auto64").definition.root
    set_space(db, root, flags=db.space(root).flags | 0x40)


@breaks("S28b")
def parent_is_another_page(db: Planter) -> None:
    index = db.table("Fixed").index("i_date")
    set_space(db, index.root, parent=db.table("Var").definition.root)


@breaks("S32")
def list_of_pages_for_splits_too_long(db: Planter) -> None:
    page = db.page(db.space(db.table("LV").definition.root).owned)
    page.set_external(page.external + b"\0")


@breaks("S33a")
def owned_extent_of_a_table_forgotten(db: Planter) -> None:
    db.page(db.space(db.table("LV").definition.root).owned).delete(2)


@breaks("S29")
def no_owned_extents_where_the_header_says(db: Planter) -> None:
    root = db.table("Big").definition.root
    set_space(db, root, owned=db.leaves(root)[0])


@breaks("S29")
def version_in_a_space_tree(db: Planter) -> None:
    page = db.page(db.space(db.table("LV").definition.root).owned)
    page.set_node_flags(0, NodeFlag.VERSION)


@breaks("S30")
def extents_overlap(db: Planter) -> None:
    root = db.space(db.table("LV").definition.root).owned
    _widen(db, db.page(root), 1)


def _widen(db: Planter, page: Page, i: int) -> None:
    """Make extent `i` begin one page before the end of the one before it."""
    before, extent = (Extent.unpack(*page.node(k)[:2]) for k in (i - 1, i))
    page.replace_data(i, (extent.last - before.last + 1).to_bytes(4, "little"), 0)


@breaks("S30")
def extent_node_of_the_wrong_size(db: Planter) -> None:
    page = db.page(db.space(1).owned + 1)  # available extents of the database
    page.replace_data(0, page.node(0).data + b"\0", 0)


@breaks("S30")
def available_extent_without_pages(db: Planter) -> None:
    _add_extent(db.page(db.space(1).owned + 1), Extent(db.table("LV").definition.root, 0))


@breaks("S30")
def available_extent_behind_the_end(db: Planter) -> None:
    """What is free in the database is said to lie where the file has no pages."""
    page = db.page(db.space(1).owned + 1)
    last, (_, pages) = page.tag_count - 2, page.node(page.tag_count - 2)[:2]
    page.delete(last)
    page.insert(last, (0xF8FF).to_bytes(4, "big"), pages)


@breaks()
def used_up_extent_for_pages_in_a_row(db: Planter) -> None:
    """The engine leaves it as a mark."""
    _add_extent(db.page(db.space(1).owned + 1), Extent(db.table("LV").definition.root, 0, pool=1))


@breaks("S31")
def available_page_in_use(db: Planter) -> None:
    """A leaf of the table becomes available to it."""
    root = db.table("LV").definition.root
    leaf = max(db.leaves(root))
    page = db.page(db.space(root).owned + 1)
    _add_extent(page, Extent(leaf, 1))


def _add_extent(page: Page, extent: Extent) -> None:
    nodes = sorted([*page.nodes(), Node(*extent.pack())])
    page.fill(page.external, [Node(n.key, n.data) for n in nodes if not n.is_deleted])


@breaks("S32")
def split_buffer_in_use(db: Planter) -> None:
    root = db.table("LV").definition.root
    page = db.page(db.space(root).owned)
    page.set_external(struct.pack("<IIII", min(db.leaves(root)), 1, 0, 0))


@breaks("S33a")
def table_owns_a_page_of_another(db: Planter) -> None:
    """One page more at the end of a table's only extent, which is another table's root."""
    root = db.table("Auto64").definition.root
    set_space(db, root, pages=2)


@breaks("S33b")
def database_does_not_own_its_first_page(db: Planter) -> None:
    page = db.page(2)
    extent = Extent.unpack(*page.node(0)[:2])
    shorter = db.table("Fixed").definition.root
    page.replace_data(0, (extent.last - shorter).to_bytes(4, "little"), 0)


@breaks("S34")
def available_extent_forgotten(db: Planter) -> None:
    page = db.page(3)
    page.delete(next(i for i, node in enumerate(page.nodes()) if not node.is_deleted))


@breaks("S35")
def map_of_free_pages_too_long(db: Planter) -> None:
    set_space(db, db.table("Auto64").definition.root, owned=0x80)
