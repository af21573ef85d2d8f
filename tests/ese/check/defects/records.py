"""Defects of rows."""

from __future__ import annotations

import struct
from collections.abc import Callable

from hotsplit.ese.format.page import Page
from hotsplit.ese.format.space import SpaceHeader
from hotsplit.ese.format.taggedcolumns import TagHeader, parse_fields
from tests.ese.check.defects.catalog import at
from tests.ese.check.defects.registry import breaks
from tests.ese.check.planted import Planter


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
