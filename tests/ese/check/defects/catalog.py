"""Defects of the catalogs and the list of objects."""

from __future__ import annotations

import struct
from collections.abc import Callable

from hotsplit.ese.format.page import Node
from tests.ese.check.defects.registry import breaks
from tests.ese.check.planted import Planter


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
