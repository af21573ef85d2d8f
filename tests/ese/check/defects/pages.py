"""Defects of single pages."""

from __future__ import annotations

from hotsplit.ese.format.page import Page, PageFlag
from tests.ese.check.defects.registry import breaks
from tests.ese.check.planted import Planter


def middle_leaf(db: Planter) -> Page:
    """A leaf of table LV with neighbours and several nodes."""
    return db.page(db.leaves(db.table("LV").definition.root)[3])


@breaks("P11")
def page_zeroed(db: Planter) -> None:
    pgno = middle_leaf(db).number
    db._touched.pop(pgno)
    at = (pgno + 1) * db.size
    db.data[at : at + db.size] = bytes(db.size)


@breaks("P12a")
def three_bits_flipped(db: Planter) -> None:
    db.seal()
    pgno = middle_leaf(db).number
    db._touched.clear()
    for bit in (5, 700, 3001):
        db.data[(pgno + 1) * db.size + 100 + bit // 8] ^= 1 << bit % 8


@breaks("P12a")
def page_of_another_place(db: Planter) -> None:
    leaves = db.leaves(db.table("LV").definition.root)
    one, two = leaves[2], leaves[5]
    db._touched.clear()
    at = [(pgno + 1) * db.size for pgno in (one, two)]
    db.data[at[0] : at[0] + db.size] = db.data[at[1] : at[1] + db.size]


@breaks("P12b")
def one_bit_flipped(db: Planter) -> None:
    pgno = middle_leaf(db).number
    db._touched.clear()
    db.data[(pgno + 1) * db.size + 500] ^= 4


@breaks("P13")
def free_space_is_wrong(db: Planter) -> None:
    middle_leaf(db).free += 2


@breaks("P13")
def tag_reaches_into_free_space(db: Planter) -> None:
    page = middle_leaf(db)
    tag = page.size - 4 * 2
    length = int.from_bytes(page.data[tag : tag + 2], "little")
    page.data[tag : tag + 2] = (length + 4000 & 0x1FFF).to_bytes(2, "little")


@breaks("P13")
def lines_overlap(db: Planter) -> None:
    page = middle_leaf(db)
    one, two = page.size - 8, page.size - 12
    start = int.from_bytes(page.data[one + 2 : one + 4], "little") & 0x1FFF
    flags = int.from_bytes(page.data[two + 2 : two + 4], "little") & 0xE000
    page.data[two + 2 : two + 4] = (start | flags).to_bytes(2, "little")


@breaks("P13")
def flagged_as_index_and_long_value(db: Planter) -> None:
    middle_leaf(db).flags |= PageFlag.INDEX | PageFlag.LONG_VALUE


@breaks("P13")
def left_by_an_unfinished_repair(db: Planter) -> None:
    middle_leaf(db).flags |= PageFlag.REPAIR


@breaks("P14a")
def page_of_another_tree(db: Planter) -> None:
    middle_leaf(db).objid += 1


@breaks("P14b")
def header_knows_fewer_objects(db: Planter) -> None:
    header = db.header()
    header.objid_last = max(db.table(name).definition.objid for name in ("Big", "Wide")) - 1
    db.set_header(header)


@breaks("P15")
def page_newer_than_the_header(db: Planter) -> None:
    middle_leaf(db).dbtime = db.header().dbtime + 1


@breaks("P15")
def header_with_a_dbtime_that_is_negative(db: Planter) -> None:
    header = db.header()
    header.dbtime = 1 << 63
    db.set_header(header)


@breaks("P16")
def two_pointers_to_one_page(db: Planter) -> None:
    """The last leaf, so that no chain breaks behind it: its parent names the one before twice."""
    root = db.table("Tagged").definition.root
    page, leaves = db.page(root), db.leaves(root)
    page.replace_data(len(leaves) - 1, leaves[-2].to_bytes(4, "little"), 0)
    db.page(leaves[-2]).next = 0
    objid = page.objid
    db.page(leaves[-1]).objid = objid
