"""Records that do not hold together, made sound by leaving out as little as possible.

A tagged value that is damaged is left out; where the array of tagged columns is, all of them; where
the variable columns are, these too. A column that must not be null gets an empty value. A record
whose fixed part is damaged is lost. A key that is not that of the record's columns is made anew.

Source: format specification 7.1, 7.3 to 7.6 (records), 10.1 (keys), 13.1 R.
"""

from __future__ import annotations

from typing import NamedTuple

from hotsplit._native.indexkey_py import (
    Fetch,
    Index,
    OutOfKeysError,
    OutOfTuplesError,
    Source,
    UnknownError,
)
from hotsplit._native.integrity_codes import Code
from hotsplit._native.record_py import Record
from hotsplit._native.rowcheck_py import Report, Rows
from hotsplit.ese.check.rowplan import Compare, TableShape, compare_mode, index_plan, layout_of
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import key_most
from hotsplit.ese.format.columns import FIRST_TAGGED, FIRST_VARIABLE, ColumnDef
from hotsplit.ese.format.page import Node
from hotsplit.ese.format.taggedcolumns import build_fields, parse_fields
from hotsplit.ese.rebuild.rowfacts import Collector

ALL_TAGGED, ALL_VARIABLE = 0xFFFF, 0xFFFE
"""Stand for all columns of a class among those that a record lost."""

_ATTEMPTS = 64
_NO_MARK = 0
_NO_COLUMN = 0x10000
_VARIABLE = {Code.VAR_LAST, Code.VAR_ORDER, Code.VAR_NULL}
_TAGGED_VALUE = {
    Code.TAG_ID, Code.TAG_NULL, Code.TAG_HEADER, Code.TAG_TWO, Code.TAG_MULTI, Code.TAG_LONG,
    Code.TAG_LID, Code.TAG_SIZE, Code.COMPRESSED, Code.NO_LONG_VALUES,
}  # fmt: skip


class Mended(NamedTuple):
    """What comes of a record. node: None if it is lost. references: long-value ids.

    changed: ids of the columns whose value is not what it was; new_key: the key is another one.
    """

    node: Node | None
    references: list[int]
    changed: frozenset[int] = frozenset()
    new_key: bool = False


class RecordMender:
    """Mends the records of one table. highest: the highest autoincrement value seen.

    makes_keys: a key that is not that of the record's columns is made anew, if that is possible.
    Raises ValueError for a definition that makes no sense.
    """

    def __init__(
        self,
        shape: TableShape,
        page_size: int,
        fetch: Fetch,
        mark: int | None,
        *,
        makes_keys: bool = True,
    ) -> None:
        self._large = is_large(page_size)
        self._key_most = key_most(page_size)
        self._reports: list[Report] = []
        self._references = Collector()
        self._fetch = fetch
        self._primary = _primary_of(shape) if makes_keys else None
        self._key_columns = frozenset[int]() if self._primary is not None else _key_columns(shape)
        limit = None if mark is None else _NO_MARK
        layout = layout_of(shape, page_size, limit)
        self._rows = Rows(layout, None, [], fetch, self._reports)
        if shape.table.long_value_root:
            self._rows.set_references(self._references)  # type: ignore[arg-type]
        own = shape.table.columns
        given = shape.template.columns if shape.template is not None else []
        self._fixed = {column.id: column for column in (*own, *given) if column.is_fixed}
        self.highest = 0

    def mend(self, node: Node, *, old: bool) -> Mended:
        """Return a sound record, or what is left of it."""
        data, changed = node.data, set[int]()
        for _ in range(_ATTEMPTS):
            found = self._look(node.key, data, old)
            step = next(filter(None, (self._step(data, old, *one) for one in found)), None)
            if step is None:
                lost = any(Code(code) in _FATAL for code, _ in found)
                return self._finished(Node(node.key, data), old, changed, lost=lost)
            data, column = step
            changed.add(column)
        return Mended(None, [])

    def _look(self, key: bytes, data: bytes, old: bool) -> list[tuple[int, int]]:
        self._reports.clear()
        self._references.items.clear()
        self._rows.take(key, data, old, (0, 0))
        for code, _, _, a, _ in self._reports:
            if code == Code.AUTOINCREMENT:
                self.highest = max(self.highest, a)
        return [(code, a) for code, _, _, a, _ in self._reports]

    def _finished(self, node: Node, old: bool, changed: set[int], *, lost: bool) -> Mended:
        if lost or self._costs_key(changed):
            return Mended(None, [])
        key = self._key(node, old)
        if len(key) > self._key_most:
            return Mended(None, [])
        references = [int.from_bytes(key, "little") for key, _ in self._references.items]
        return Mended(Node(key, node.data), references, frozenset(changed), key != node.key)

    def _costs_key(self, changed: set[int]) -> bool:
        """True if a key that cannot be made anew is that of values that are gone."""
        gone = {ALL_VARIABLE: FIRST_VARIABLE, ALL_TAGGED: FIRST_TAGGED}
        least = min((gone.get(column, _NO_COLUMN) for column in changed),
                    default=_NO_COLUMN)  # fmt: skip
        return any(column in changed or column >= least for column in self._key_columns)

    def _key(self, node: Node, old: bool) -> bytes:
        """Return the key that the columns make, the record's own if that cannot be told."""
        if self._primary is None:
            return node.key
        source = Source(Record(node.data, self._large, old), self._fetch)
        try:
            made, _ = self._primary.make_key(source, [1] * len(self._primary.segments), 0)
        except (UnknownError, OutOfKeysError, OutOfTuplesError):
            return node.key
        return made or node.key

    # Steps: each returns the record without one fault and the column that it cost

    def _step(self, data: bytes, old: bool, code: int, a: int) -> tuple[bytes, int] | None:
        record = Record(data, self._large, old)
        if code in _VARIABLE:
            return _without_variable(record)
        if code == Code.TAG_ARRAY:
            return data[: record.tagged], ALL_TAGGED
        if code in _TAGGED_VALUE or (code == Code.NOT_NULL and a >= FIRST_TAGGED):
            return self._without_field(record, a)
        if code == Code.NOT_NULL:
            filled = self._filled(record, a)
            return None if filled == data else (filled, a)
        if code == Code.BITMAP:
            return _with_full_bitmap(record), 0
        return None

    def _without_field(self, record: Record, column: int) -> tuple[bytes, int]:
        head, tagged = record.data[: record.tagged], record.data[record.tagged :]
        try:
            fields = parse_fields(tagged, self._large) if not record.old else []
            kept = [field for field in fields if field.id != column]
            if len(kept) < len(fields):
                return head + build_fields(kept, self._large), column
        except ValueError:
            pass
        return head, ALL_TAGGED

    def _filled(self, record: Record, column: int) -> bytes:
        """Return the record with an empty value in a column that must not be null."""
        data = bytearray(record.data)
        if column >= FIRST_VARIABLE:
            data[record.fixed_end + 2 * (column - FIRST_VARIABLE) + 1] &= 0x7F
            return bytes(data)
        known: ColumnDef | None = self._fixed.get(column)
        if known is not None:
            data[known.offset : known.offset + known.stored_size] = bytes(known.stored_size)
            data[record.bitmap + (column - 1) // 8] &= ~(1 << (column - 1) % 8)
        return bytes(data)


_FATAL = {Code.RECORD_SIZE, Code.FIXED_LAST, Code.FIXED_END, Code.FIXED_SIZE, *_VARIABLE,
          Code.TAG_ARRAY, *(_TAGGED_VALUE - {Code.COMPRESSED})}  # fmt: skip


def _without_variable(record: Record) -> tuple[bytes, int] | None:
    data = record.data
    if not record.sound_fixed or data[1] < FIRST_VARIABLE:
        return None
    return data[:1] + bytes([FIRST_VARIABLE - 1]) + data[2 : record.fixed_end], ALL_VARIABLE


def _with_full_bitmap(record: Record) -> bytes:
    data, last = bytearray(record.data), record.fixed_last
    data[record.bitmap + last // 8] |= 0xFF << last % 8 & 0xFF
    return bytes(data)


def _key_columns(shape: TableShape) -> frozenset[int]:
    primary = shape.table.primary
    segments = primary.key if primary is not None else ()
    return frozenset(segment.column_id for segment in segments)


def _primary_of(shape: TableShape) -> Index | None:
    index = shape.table.primary
    if index is None or compare_mode(shape, index) != Compare.BY_KEY:
        return None
    try:
        plan = index_plan(shape, index, None)
    except ValueError:
        return None
    return None if plan is None else Index.of(plan)
