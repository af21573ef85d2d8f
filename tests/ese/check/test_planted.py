"""One planted defect at a time: exactly the rule that it breaks is reported, at its place."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise

import pytest

from hotsplit.ese.check.rules import RULES
from hotsplit.ese.format.longvalue import LongValueRoot
from hotsplit.ese.format.page import Node, NodeFlag, Page, PageFlag
from hotsplit.ese.format.space import Extent, SpaceHeader
from hotsplit.ese.format.taggedcolumns import TagHeader, parse_fields
from tests.conftest import manifest, unpack_vector
from tests.ese.check.planted import Planter

Defect = Callable[[Planter], None]
DEFECTS: dict[str, tuple[set[str], Defect]] = {}
"""(rules, what plants it) by name."""


def breaks(*rules: str) -> Callable[[Defect], Defect]:
    """Name the rule that a defect breaks, and those that it cannot but break, too."""

    def note(defect: Defect) -> Defect:
        assert all(rule in RULES for rule in rules)
        DEFECTS[defect.__name__] = (set(rules), defect)
        return defect

    return note


@pytest.fixture(scope="module")
def original() -> Planter:
    if "crash-p4096-ckpt" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    return Planter(unpack_vector("crash-p4096-ckpt") / "recovered" / "test.edb")


@pytest.fixture
def db(original: Planter) -> Planter:
    return original.copy()


# Header and file


@breaks("H2")
def one_header_copy_is_damaged(db: Planter) -> None:
    db.data[db.size + 100] ^= 0xFF


@breaks("H2")
def header_copies_differ(db: Planter) -> None:
    header = db.header()
    header.build_number += 1
    db.set_header_copy(1, header)


@breaks("H4")
def not_shut_down_cleanly(db: Planter) -> None:
    header = db.header()
    header.state = 2
    db.set_header(header)


@breaks("H5")
def creation_never_completed(db: Planter) -> None:
    header = db.header()
    header.state = 77
    db.set_header(header)


@breaks("H5")
def clean_but_logs_are_required(db: Planter) -> None:
    header = db.header()
    header.gen_min_required = 5
    db.set_header(header)


@breaks("H6")
def part_of_a_page_at_the_end(db: Planter) -> None:
    db.data += b"\0" * 100


@breaks("H7b")
def pages_behind_the_end(db: Planter) -> None:
    db.data += bytes(3 * db.size)


@breaks("H7a")
def file_cut_short(db: Planter) -> None:
    """Within the free pages at the end."""
    del db.data[-5 * db.size :]


@breaks("H8")
def no_signature(db: Planter) -> None:
    header = db.header()
    header.db_signature = type(header.db_signature)()
    db.set_header(header)


@breaks("H9")
def write_that_was_lost(db: Planter) -> None:
    """The flush map knows of one more write of a page."""
    db.map_flushes(wrong=middle_leaf(db).number)


@breaks()
def flush_map_that_agrees(db: Planter) -> None:
    db.map_flushes()


@breaks()
def flush_map_of_another_state_of_the_database(db: Planter) -> None:
    db.map_flushes(wrong=middle_leaf(db).number)
    header = db.header()
    header.flush_map_signature = type(header.flush_map_signature)()
    db.set_header(header)


@breaks()
def flush_map_that_is_damaged(db: Planter) -> None:
    db.map_flushes(wrong=middle_leaf(db).number)
    db.flush_map = db.flush_map[:5000]


@breaks("H10")
def streaming_file_is_not_there(db: Planter) -> None:
    header = db.header()
    header.flags |= 0x04
    db.set_header(header)


# Pages


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


# Trees


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


# Space


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


# Catalog


@breaks("C36")
def row_missing_in_the_shadow(db: Planter) -> None:
    page = db.page(db.leaves(24)[2])
    page.delete(1)


@breaks("C36")
def row_changed_in_the_shadow(db: Planter) -> None:
    page = db.page(db.leaves(24)[2])
    node = page.node(1)
    page.replace_data(1, node.data[:18] + b"\x51" + node.data[19:], node.flags)


def at(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda record: record[:offset] + value + record[offset + len(value) :]


@breaks("C37")
def row_of_an_unknown_kind_of_flags(db: Planter) -> None:
    """Flags become null."""

    def null_flags(record: bytes) -> bytes:
        last, end = record[0], struct.unpack_from("<H", record, 2)[0]
        bitmap = end - (last + 7) // 8
        return record[:bitmap] + bytes([record[bitmap] | 1 << 5]) + record[bitmap + 1 :]

    db.change_catalog("Wide", 2, "T000", null_flags)


def in_both_catalogs(db: Planter, key: bytes, data: bytes) -> None:
    """Add a row, but not to the indexes of the catalog."""
    for root in (4, 24):
        page = db.page(db.leaves(root)[-1])
        page.insert(page.node_count, key, data)


@breaks("C38", "X59b")
def column_of_no_table(db: Planter) -> None:
    _, _, row = db.catalog_row("MSysObjids", 2, "type")
    objid = (5000).to_bytes(4, "little")
    key = b"\x7f" + (5000 + 0x80000000).to_bytes(4, "big") + row.key[5:]
    in_both_catalogs(db, key, at(4, objid)(row.data))


@breaks("C38")
def table_whose_pages_are_as_good_as_empty(db: Planter) -> None:
    db.change_catalog("Wide", 1, "", at(18, (19).to_bytes(4, "little")))


@breaks("C38")
def table_with_more_pages_than_a_file(db: Planter) -> None:
    db.change_catalog("Wide", 1, "", at(26, (0x7FF00000).to_bytes(4, "little")))


@breaks("C39", "X59a", "X59b")
def two_columns_of_one_name(db: Planter) -> None:
    db.change_catalog("Wide", 2, "T001", lambda record: record.replace(b"T001", b"t002"))


@breaks("C43", "C40", "C46", "S34")
def second_primary_index(db: Planter) -> None:
    """Its tree is the table's then, so its own page is nobody's."""
    db.change_catalog("Templ", 3, "i_base", at(22, b"\x2f"))


@breaks("C44")
def template_of_another_name(db: Planter) -> None:
    db.change_catalog("Derived", 1, "", lambda record: record.replace(b"Templ", b"Tampl"))


@breaks("C45", "X59a", "X59b")
def catalog_of_another_name(db: Planter) -> None:
    db.change_catalog("MSysObjects", 1, "", lambda r: r.replace(b"MSysObjects", b"MSysObjectZ"))


@breaks("C46")
def object_not_listed(db: Planter) -> None:
    db.page(db.table("MSysObjids").definition.root).delete(3)


OBJECT = -10
"""Where the object id, the table's and the type begin in a record of MSysObjids."""


def listed_as(db: Planter, **numbers: int) -> Node:
    """Return the last row of MSysObjids with other numbers."""
    page = db.page(db.table("MSysObjids").definition.root)
    node = page.node(page.node_count - 1)
    data, wanted = bytearray(node.data), db.values("MSysObjids", node.data) | numbers
    struct.pack_into("<IIh", data, OBJECT, *(wanted[c] for c in ("objid", "objidTable", "type")))
    assert db.values("MSysObjids", bytes(data)) == wanted
    return node._replace(data=bytes(data))


def list_last_as(db: Planter, node: Node) -> None:
    page = db.page(db.table("MSysObjids").definition.root)
    page.replace_data(page.node_count - 1, node.data, node.flags)


@breaks("C46")
def object_listed_with_another_table(db: Planter) -> None:
    list_last_as(db, listed_as(db, objidTable=2))


@breaks("C46")
def object_listed_with_another_type(db: Planter) -> None:
    list_last_as(db, listed_as(db, type=1))


@breaks("C46")
def object_listed_that_is_not_there(db: Planter) -> None:
    objid = db.header().objid_last + 1
    page = db.page(db.table("MSysObjids").definition.root)
    key = b"\x7f" + (objid + 0x80000000).to_bytes(4, "big")
    page.insert(page.node_count, key, listed_as(db, objid=objid).data)


@breaks("C46")
def indexes_of_a_locale_counted_wrong(db: Planter) -> None:
    for page, i, node in db.nodes(db.table("MSysLocales").definition.root):
        if "LocaleName".encode("utf-16-le") in node.data:
            assert node.data[5] == 4
            page.replace_data(i, at(5, b"\3")(node.data), node.flags)
            return
    raise LookupError


@breaks("C40")
def index_with_the_root_page_of_its_table(db: Planter) -> None:
    """Of the template table, which has no rows to compare."""
    root = db.table("Templ").definition.root
    db.change_catalog("Templ", 3, "pk", at(14, (root + 1).to_bytes(4, "little")))


@breaks("C41")
def column_of_an_unknown_type(db: Planter) -> None:
    db.change_catalog("MSysObjids", 2, "type", at(14, b"\x63\0\0\0"))


@breaks("C41")
def column_of_the_catalog_of_an_unknown_type(db: Planter) -> None:
    db.change_catalog("MSysObjects", 2, "RootFlag", at(14, b"\x01\x20\0\0"))


def flagged(column_or_index: int) -> Callable[[bytes], bytes]:
    """Set flags of a catalog row; 0x20 of a column means escrow."""

    def edit(record: bytes) -> bytes:
        flags = int.from_bytes(record[22:26], "little") | column_or_index
        return at(22, flags.to_bytes(4, "little"))(record)

    return edit


@breaks("C41")
def fixed_column_that_leaves_a_gap(db: Planter) -> None:
    db.change_catalog("Wide", 2, "F003", at(31, (16).to_bytes(2, "little")))


@breaks("C41")
def short_column_flagged_as_compressed(db: Planter) -> None:
    db.change_catalog("Wide", 2, "F003", flagged(0x1000))


@breaks("C41")
def escrow_column_without_a_default(db: Planter) -> None:
    db.change_catalog("Wide", 2, "F003", flagged(0x20))


@breaks("C41")
def fixed_column_without_its_size(db: Planter) -> None:
    db.change_catalog("Fixed", 2, "fDouble", at(18, b"\0\0\0\0"))


@breaks("C41")
def column_flagged_as_with_a_default(db: Planter) -> None:
    db.change_catalog("Wide", 2, "F003", flagged(0x10))


@breaks("C44")
def index_that_the_template_does_not_have(db: Planter) -> None:
    db.change_catalog("Fixed", 3, "i_date", flagged(0x200))


@breaks("C42")
def index_of_an_impossible_locale(db: Planter) -> None:
    name = "en-US".encode("utf-16-le")
    db.change_catalog("Fixed", 3, "i_date", lambda r: r.replace(name, b"\xff" + name[1:]))


@breaks("C42")
def index_with_and_without_nulls(db: Planter) -> None:
    db.change_catalog("Fixed", 3, "i_date", flagged(0x10))


@breaks("X59b")
def index_that_allows_no_nulls_of_a_column_that_has_some(db: Planter) -> None:
    db.change_catalog("Fixed", 3, "i_dbl", flagged(0x10))


@breaks("C41")
def column_with_a_default_by_no_function(db: Planter) -> None:
    db.change_catalog("Wide", 2, "F003", flagged(0x80))


@breaks("C41", "C42")
def escrow_column_in_a_key(db: Planter) -> None:
    """It has no default, either."""
    db.change_catalog("Fixed", 2, "fLong", flagged(0x20))


@breaks("C42")
def index_of_an_impossible_density(db: Planter) -> None:
    db.change_catalog("Fixed", 3, "i_date", at(18, (5).to_bytes(4, "little")))


@breaks("C42")
def index_not_flagged_as_of_unicode_text(db: Planter) -> None:
    db.change_catalog("Var", 3, "i_uni_bin", lambda row: at(23, bytes([row[23] & ~4]))(row))


@breaks("C42", "C46")
def index_flagged_as_of_unicode_text(db: Planter) -> None:
    db.change_catalog("Fixed", 3, "i_date", flagged(0x400))


@breaks("C42")
def index_of_a_column_that_is_not_there(db: Planter) -> None:
    def edit(record: bytes) -> bytes:
        return record.replace(b"\0\0\x81\0", b"\0\0\x8f\0")

    db.change_catalog("Derived", 3, "i_d", edit)


# Records


def record_of(db: Planter, table: str, number: int = 1) -> tuple[Page, int, bytes]:
    page = db.page(db.leaves(db.table(table).definition.root)[0])
    return page, number, page.node(number).data


def change_record(db: Planter, table: str, edit: Callable[[bytes], bytes], number: int = 1) -> None:
    page, i, data = record_of(db, table, number)
    page.replace_data(i, edit(data), page.node(i).flags)


@breaks("R47")
def last_fixed_column_unknown(db: Planter) -> None:
    change_record(db, "Auto64", lambda record: bytes([100]) + record[1:])


@breaks("R47")
def end_of_the_fixed_columns_too_large(db: Planter) -> None:
    change_record(db, "Auto64", at(2, b"\xff\x7f"))


@breaks("R47")
def end_of_the_fixed_columns_moved(db: Planter) -> None:
    def edit(record: bytes) -> bytes:
        end = struct.unpack_from("<H", record, 2)[0]
        return record[:2] + struct.pack("<H", end + 1) + record[4:end] + b"\xff" + record[end:]

    change_record(db, "Auto64", edit)


@breaks("R48")
def variable_offsets_descend(db: Planter) -> None:
    def edit(record: bytes) -> bytes:
        end = struct.unpack_from("<H", record, 2)[0]
        return record[:end] + struct.pack("<H", 0x7F00) + record[end + 2 :]

    change_record(db, "Var", edit)


def tagged_part(record: bytes) -> int:
    """Where the tagged columns of a record begin."""
    last, end = record[1], struct.unpack_from("<H", record, 2)[0]
    start: int = end + 2 * (last - 127)
    used: int = struct.unpack_from("<H", record, start - 2)[0] & 0x7FFF
    return start + used if last > 127 else start


@breaks("R49a")
def tagged_ids_out_of_order(db: Planter) -> None:
    def edit(record: bytes) -> bytes:
        at_ = tagged_part(record)
        one, two = record[at_ : at_ + 2], record[at_ + 4 : at_ + 6]
        return record[:at_] + two + record[at_ + 2 : at_ + 4] + one + record[at_ + 6 :]

    change_record(db, "Wide", edit)


@breaks("R49a")
def offset_of_a_multi_value_wrong(db: Planter) -> None:
    for page, i, node in db.nodes(db.table("Tagged").definition.root):
        start = tagged_part(node.data)
        for field in parse_fields(node.data[start:], large=False):
            several = field.header & TagHeader.MULTI and not field.header & TagHeader.TWO
            if several and field.data is not None and len(field.data) > 8:
                damaged = struct.pack("<H", 3) + field.data[2:]
                page.replace_data(i, node.data.replace(field.data, damaged), node.flags)
                return
    raise LookupError


@breaks("R49b")
def tagged_column_not_in_the_catalog(db: Planter) -> None:
    """Its catalog row goes; the highest id stays."""
    record = record_of(db, "Wide")[2]
    fid = struct.unpack_from("<H", record, tagged_part(record))[0]
    key = b"\x7f" + (fid + 0x80000000).to_bytes(4, "big")
    objid = db.table("Wide").definition.objid
    start = b"\x7f" + (objid + 0x80000000).to_bytes(4, "big") + b"\x7f\x80\x02"
    for root in (4, 24, 7):  # both catalogs and the index by name
        page, i, _ = next(
            found for found in db.nodes(root) if start + key in (found[2].key, found[2].data)
        )
        page.delete(i)


@breaks("R50")
def mandatory_column_null(db: Planter) -> None:
    """The first column of the engine's table of locales."""

    def edit(record: bytes) -> bytes:
        end = struct.unpack_from("<H", record, 2)[0]
        return record[: end - 1] + bytes([record[end - 1] | 1]) + record[end:]

    change_record(db, "MSysLocales", edit)


@breaks("R52")
def compressed_value_damaged(db: Planter) -> None:
    """Its first byte names a scheme that does not exist."""
    for page, i, node in db.nodes(db.table("Tagged").definition.root):
        start = tagged_part(node.data)
        for field in parse_fields(node.data[start:], large=False):
            value = field.data or b""
            if field.header == TagHeader.LONG | TagHeader.COMPRESSED and field.id == 263:
                page.replace_data(i, node.data.replace(value, b"\xf8" + value[1:]), node.flags)
                return
    raise LookupError


@breaks("R53b")
def autoincrement_mark_too_low(db: Planter) -> None:
    page = db.page(db.table("Auto64").definition.root)
    header = SpaceHeader.unpack(page.external)
    assert header.autoincrement
    page.set_external(header._replace(autoincrement=3).pack())


@breaks("R51")
def key_column_changed(db: Planter) -> None:
    change_record(db, "Wide", at(4, b"\x01\x02\x03\x04"))


@breaks("R50", "R51")
def key_column_null(db: Planter) -> None:
    def edit(record: bytes) -> bytes:
        end = struct.unpack_from("<H", record, 2)[0]
        at_ = end - (record[0] + 7) // 8
        return record[:at_] + bytes([record[at_] | 1]) + record[at_ + 1 :]

    change_record(db, "Wide", edit)


@breaks("R53a")
def unused_bits_of_the_null_bitmap_cleared(db: Planter) -> None:
    def edit(record: bytes) -> bytes:
        end = struct.unpack_from("<H", record, 2)[0]
        assert record[0] % 8
        return record[: end - 1] + bytes([record[end - 1] & 0x7F]) + record[end:]

    change_record(db, "Wide", edit)


# Long values


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


# Indexes


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


CORRUPTED = [
    "three_bits_flipped",
    "page_zeroed",
    "page_of_another_tree",
    "link_to_the_next_leaf_is_wrong",
    "page_newer_than_the_header",
    "two_nodes_swapped",
    "tag_reaches_into_free_space",
    "free_space_is_wrong",
    "separator_too_low",
    "two_pointers_to_one_page",
    "header_with_a_dbtime_that_is_negative",
    "tree_of_an_index_flagged_as_deleted",
    "column_with_a_default_by_no_function",
    "column_flagged_as_with_a_default",
    "table_whose_pages_are_as_good_as_empty",
    "table_with_more_pages_than_a_file",
    "leaf_that_says_it_is_above_leaves",
    "version_in_a_space_tree",
    "list_of_pages_for_splits_too_long",
    "pointer_beyond_the_file",
    "root_with_a_neighbour",
    "parent_does_not_say_that_leaves_follow",
    "root_flag_on_a_leaf",
    "parent_is_another_page",
    "owned_extent_of_a_table_forgotten",
    "last_fixed_column_unknown",
    "end_of_the_fixed_columns_too_large",
    "key_column_null",
    "tagged_ids_out_of_order",
    "offset_of_a_multi_value_wrong",
    "too_few_references",
    "root_node_of_a_long_value_missing",
    "chunk_missing",
    "long_value_longer_than_its_chunks",
    "key_of_a_chunk_of_the_wrong_length",
    "index_entry_missing",
    "record_deleted_under_an_index",
    "row_changed_in_the_shadow",
    "file_cut_short",
]
SOUND = [
    "object_not_listed",
    "object_listed_with_another_table",
    "object_listed_with_another_type",
    "object_listed_that_is_not_there",
    "used_up_extent_for_pages_in_a_row",
    "one_bit_flipped",
    "records_in_the_format_of_old_engines",
    "page_in_use_flagged_as_freed",
    "database_does_not_own_its_first_page",
    "available_extent_forgotten",
    "too_many_references",
    "long_value_in_use_partly_deleted",
    "header_knows_fewer_objects",
]
"""How the engine's own integrity check ends for these defects (format specification 13.2)."""


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_breaks_exactly_its_rule(db: Planter, name: str) -> None:
    rules, defect = DEFECTS[name]
    defect(db)
    result = db.check()
    assert db.added(result) == rules
    if name in [*CORRUPTED, *SOUND]:
        assert result.is_damaged == (name in CORRUPTED)


def test_every_rule_is_broken_once() -> None:
    assert {rule for rules, _ in DEFECTS.values() for rule in rules} == set(RULES)
    assert {*CORRUPTED, *SOUND} <= set(DEFECTS)


def test_nothing_is_wrong_without_a_defect(db: Planter) -> None:
    db.page(4)
    result = db.check()
    assert db.added(result) == set()
    assert not result.is_damaged
