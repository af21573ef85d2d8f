"""Defects of trees."""

from __future__ import annotations

import struct

from hotsplit.ese.format.page import Node, NodeFlag, Page, PageFlag
from tests.ese.check.defects.pages import middle_leaf
from tests.ese.check.defects.registry import breaks
from tests.ese.check.planted import Planter


@breaks("T18a")
def root_flag_on_a_leaf(db: Planter) -> None:
    middle_leaf(db).flags |= PageFlag.ROOT


@breaks("T18a")
def index_flag_on_a_table_page(db: Planter) -> None:
    middle_leaf(db).flags |= PageFlag.INDEX


@breaks("T18a")
def tree_of_an_index_flagged_as_deleted(db: Planter) -> None:
    index = db.table("Fixed").definition.indexes[1]
    assert not index.is_primary
    db.page(index.root).flags |= PageFlag.FDP_DELETE


@breaks("T18c")
def table_flagged_as_left_over(db: Planter) -> None:
    db.page(db.table("Fixed").definition.root).flags |= PageFlag.FDP_DELETE


@breaks("T18b")
def page_in_use_flagged_as_freed(db: Planter) -> None:
    middle_leaf(db).flags |= PageFlag.EMPTY


@breaks("T19")
def pointer_beyond_the_file(db: Planter) -> None:
    root = db.table("LV").definition.root
    db.page(root).replace_data(3, (db.last + 50).to_bytes(4, "little"), 0)


@breaks("T20")
def parent_does_not_say_that_leaves_follow(db: Planter) -> None:
    db.page(db.table("LV").definition.root).flags &= ~PageFlag.PARENT_OF_LEAF


@breaks("T20")
def leaf_flag_cleared(db: Planter) -> None:
    middle_leaf(db).flags &= ~PageFlag.LEAF


@breaks("T20")
def leaf_that_says_it_is_above_leaves(db: Planter) -> None:
    middle_leaf(db).flags |= PageFlag.PARENT_OF_LEAF


@breaks("T21")
def root_with_a_neighbour(db: Planter) -> None:
    db.page(db.table("LV").definition.root).next = 77


@breaks("T21")
def node_of_an_internal_page_deleted(db: Planter) -> None:
    db.page(db.table("LV").definition.root).set_node_flags(1, NodeFlag.DELETED)


@breaks("T21")
def child_pointer_of_five_bytes(db: Planter) -> None:
    page = db.page(db.table("LV").definition.root)
    page.replace_data(2, page.node(2).data + b"\0", 0)


@breaks("T22")
def separator_too_low(db: Planter) -> None:
    page = db.page(db.table("LV").definition.root)
    leaf = db.page(db.leaves(page.number)[2])
    middle = leaf.node(leaf.node_count // 2).key
    page.replace_node(2, Node(middle, page.node(2).data))


@breaks("T22")
def separator_too_high(db: Planter) -> None:
    page = db.page(db.table("LV").definition.root)
    leaf = db.page(db.leaves(page.number)[3])
    page.replace_node(2, Node(leaf.node(0).key + b"\1", page.node(2).data))


@breaks("T22")
def empty_key_missing_at_the_end(db: Planter) -> None:
    page = db.page(db.table("LV").definition.root)
    last = page.node_count - 1
    page.replace_node(last, Node(b"\xff" * 6, page.node(last).data))


@breaks("T23")
def link_to_the_next_leaf_is_wrong(db: Planter) -> None:
    middle_leaf(db).next += 1


@breaks("T23")
def link_to_the_leaf_before_is_wrong(db: Planter) -> None:
    middle_leaf(db).previous += 1


@breaks("T23")
def chain_goes_on_behind_the_last_leaf(db: Planter) -> None:
    db.page(db.leaves(db.table("LV").definition.root)[-1]).next = 99


@breaks("T24", "C36")
def leaf_emptied(db: Planter) -> None:
    """In the shadow catalog, whose rows nothing but the catalog is compared with."""
    leaf = db.page(db.leaves(24)[2])
    leaf.fill(leaf.external, [])


@breaks("T25a")
def two_nodes_swapped(db: Planter) -> None:
    page = db.page(db.leaves(db.table("Big").definition.root)[0])
    one, two = page.size - 4 * 3, page.size - 4 * 4
    tags = bytes(page.data[one : one + 4]), bytes(page.data[two : two + 4])
    page.data[one : one + 4], page.data[two : two + 4] = tags[1], tags[0]


@breaks("T25a", "X59a", "X59b")
def two_entries_of_one_key_in_a_unique_index(db: Planter) -> None:
    page = db.page(db.leaves(db.table("Fixed").index("i_uniq").root)[0])
    page.replace_node(2, Node(page.node(1).key, page.node(2).data))


@breaks("T25b")
def key_too_long(db: Planter) -> None:
    """In the template table, which has no rows."""
    db.page(db.table("Templ").definition.root).insert(0, b"\x7f" * 2001, b"1234")


@breaks("T26")
def one_more_node_deleted(db: Planter) -> None:
    """In a tree that nothing is compared with."""
    page = db.page(db.table("MSysLocales").definition.root)
    page.set_node_flags(0, NodeFlag.DELETED)


@breaks("T27")
def key_shares_one_byte(db: Planter) -> None:
    page = db.page(db.leaves(4)[2])
    for i in range(page.node_count):
        node = page.node(i)
        if node.flags & NodeFlag.COMPRESSED:
            line, flags = Page.encode(node, page.prefix, 1)
            page._change("replace", i + 1, line, flags)
            return


@breaks("T27")
def key_shares_more_than_there_is(db: Planter) -> None:
    page = db.page(db.leaves(4)[2])
    i = next(i for i in range(page.node_count) if page.node(i).flags & NodeFlag.COMPRESSED)
    line, flags = page.line(i + 1)
    page._change("replace", i + 1, struct.pack("<H", len(page.prefix) + 1) + line[2:], flags)
