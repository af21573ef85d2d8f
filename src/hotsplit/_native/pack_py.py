"""Records and index keys of new rows: the readable reference of the ``pack`` kernel.

A plain row has one value or none in each column, each short enough to stay in the record. What is
not plain, or wrong, is left to the caller.

Source: format specification 7.1, 7.3, 7.5 (records), 10.1 to 10.3 (keys).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hotsplit._native.indexkey_py import NULLS_HIGH, NUMBER_SIZES, UNICODE, Index, Segment

ENCODED, SIGNED, UNSIGNED, SINGLE, DOUBLE, BIT, BYTES, TEXT, WIDE_TEXT = range(9)
"""Kinds of columns: how their values become bytes. The first one has only its function for that."""

FIRST_VARIABLE, FIRST_TAGGED = 128, 256
INTRINSIC_MOST = 1023
"""Bytes: a longer value of a tagged column never stays in its record."""

_NULL_WORD, _LONG, _HEADER_BIT = 0x8000, 1, 0x4000
_SMALL_MOST, _LARGE_MOST = 0x1FFF, 0x7FFF
_RECORD_MOST = 32768
_KEY_MOST = 2000
_NUMBER_SIZES = {SIGNED: (1, 2, 4, 8), UNSIGNED: (1, 2, 4, 8), SINGLE: (4,), DOUBLE: (8,)}
_TYPES = {SIGNED: int, UNSIGNED: int, SINGLE: float, DOUBLE: float, BIT: bool, BYTES: bytes}


class Column(NamedTuple):
    """A column. size: of a fixed one, else the most bytes of a value, 0 for no limit.

    pad: fills up a fixed one. required: it must not be NULL. long: of a long-value type. preset:
    its default value. encode: makes the bytes of a value, or raises an exception.
    """

    name: str
    id: int
    kind: int
    size: int
    offset: int
    pad: int
    required: bool
    long: bool
    preset: bytes | None
    encode: Callable[[Any], bytes]


class KeyPart(NamedTuple):
    """A column of a key. column: its number; size, normal, descending: as `indexkey_py.Segment`.

    make: makes the bytes in the key from those in the record where this kernel does not, or None.
    """

    column: int
    size: int
    normal: int
    descending: bool
    make: Callable[[bytes], bytes] | None


ALL_NULL, FIRST_NULL, SOME_NULL, NO_NULL, NEEDED = 1, 2, 4, 8, 16
"""Which rows have an entry: with NULL in all columns of the key, in the first one, in others.

NO_NULL: no row has a NULL there; NEEDED: each row has an entry; others are not plain.
"""


class Key(NamedTuple):
    """The key of an index. most: its greatest size. nulls: the bits above. high: NULL is last."""

    parts: Sequence[KeyPart]
    most: int
    nulls: int
    high: bool


class _NotPlainError(Exception):
    pass


class Packer:
    """Plain rows of one table. columns: in order of their ids. most: bytes of a record.

    large: the pages are. Raises ValueError for a plan that cannot be.
    """

    def __init__(
        self, columns: Sequence[Column], keys: Sequence[Key], *, large: bool, most: int
    ) -> None:
        self._columns = [Column(*column) for column in columns]
        self._keys = [Key([KeyPart(*part) for part in key[0]], *key[1:]) for key in keys]
        self._large, self._most = large, most
        _check(self._columns, self._keys, most)
        self._numbers = {column.name: i for i, column in enumerate(self._columns)}
        self._fixed = [c for c in self._columns if c.id < FIRST_VARIABLE]

    def pack(
        self,
        rows: Sequence[Any],
        first: int,
        names: tuple[str, ...] | None,
        records: list[bytes],
        keys: Sequence[list[bytes | None]],
    ) -> int:
        """Append the records of rows from number `first` on, and their keys in each index.

        A row without an entry in an index has None there.
        Rows are dictionaries by column name, or tuples of the columns `names`. Return the number of
        the first row that is not plain, len(rows) if all are. Raises ValueError for wrong use.
        """
        if first < 0 or len(keys) != len(self._keys):
            raise ValueError("a list of keys for each index")
        for number in range(first, len(rows)):
            try:
                cells = self._cells(rows[number], names)
                record = self._record(cells)
                made = [self._key(key, cells) for key in self._keys]
            except _NotPlainError:
                return number
            records.append(record)
            for part, one in zip(keys, made, strict=True):
                part.append(one)
        return len(rows)

    def make(self, row: Any) -> tuple[bytes, list[bytes | None]] | None:
        """Return the record and the keys of a row, a dictionary; None if it is not plain."""
        records, keys = list[bytes](), [list[bytes | None]() for _ in self._keys]
        if not self.pack([row], 0, None, records, keys):
            return None
        return records[0], [one[0] for one in keys]

    # Values

    def _cells(self, row: Any, names: tuple[str, ...] | None) -> dict[int, bytes | None]:
        """Return the stored bytes of a row by number of column, None for NULL."""
        if names is None:
            if type(row) is not dict:
                raise _NotPlainError
            given: Mapping[str, Any] = row
        else:
            if type(row) is not tuple or len(row) != len(names) or len(set(names)) != len(names):
                raise _NotPlainError
            given = dict(zip(names, row, strict=True))
        cells: dict[int, bytes | None] = {}
        for name, value in given.items():
            number = self._numbers.get(name)
            if number is None:
                raise _NotPlainError
            cells[number] = self._cell(self._columns[number], value)
        for number, column in enumerate(self._columns):
            if column.required and cells.get(number, column.preset) is None:
                raise _NotPlainError
        return cells

    @staticmethod
    def _cell(column: Column, value: Any) -> bytes | None:
        if value is None:
            if column.id >= FIRST_TAGGED and column.preset is not None:
                raise _NotPlainError
            return None
        data = _encoded(column, value)
        if column.id < FIRST_VARIABLE:
            if len(data) > column.size:
                raise _NotPlainError
            return data.ljust(column.size, bytes([column.pad]))
        most = column.size or _RECORD_MOST
        if column.id >= FIRST_TAGGED:
            most = INTRINSIC_MOST if column.long else column.size or INTRINSIC_MOST
        if len(data) > most:
            raise _NotPlainError
        return data

    # Records

    def _record(self, cells: dict[int, bytes | None]) -> bytes:
        last, fixed = self._fixed_part(cells)
        last_variable, variable = self._variable_part(cells)
        head = struct.pack("<BBH", last, last_variable, 4 + len(fixed))
        record = head + fixed + variable + self._tagged_part(cells)
        if len(record) > self._most:
            raise _NotPlainError
        return record

    def _effective(self, cells: dict[int, bytes | None], number: int) -> bytes | None:
        return cells.get(number, self._columns[number].preset)

    def _fixed_part(self, cells: dict[int, bytes | None]) -> tuple[int, bytes]:
        """Return the highest fixed id of the record, and the columns with their bits for NULL."""
        count = max((n + 1 for n in cells if n < len(self._fixed)), default=0)
        columns = self._fixed[:count]
        last = columns[-1].id if columns else 0
        body = bytearray(max((c.offset + c.size for c in columns), default=4) - 4)
        nulls = bytearray(b"\xff" * ((last + 7) // 8))
        for number, column in enumerate(columns):
            data = self._effective(cells, number)
            if data is None:
                continue
            if len(data) > column.size:
                raise _NotPlainError
            at = column.offset - 4
            body[at : at + column.size] = data.ljust(column.size, bytes([column.pad]))
            nulls[(column.id - 1) // 8] &= ~(1 << (column.id - 1) % 8)
        return last, bytes(body + nulls)

    def _variable_part(self, cells: dict[int, bytes | None]) -> tuple[int, bytes]:
        """Return the highest variable id of the record, and the ends of the columns and bytes."""
        by_id = {
            column.id: number
            for number, column in enumerate(self._columns)
            if FIRST_VARIABLE <= column.id < FIRST_TAGGED
        }
        last = max((fid for fid, n in by_id.items() if n in cells), default=FIRST_VARIABLE - 1)
        array, area = bytearray(), bytearray()
        for fid in range(FIRST_VARIABLE, last + 1):
            data = self._effective(cells, by_id[fid]) if fid in by_id else None
            area += data or b""
            if len(area) > _RECORD_MOST:
                raise _NotPlainError
            array += struct.pack("<H", len(area) | (_NULL_WORD if data is None else 0))
        return last, bytes(array + area)

    def _tagged_part(self, cells: dict[int, bytes | None]) -> bytes:
        given = [
            (self._columns[number], data)
            for number, data in sorted(cells.items())
            if self._columns[number].id >= FIRST_TAGGED and data is not None
        ]
        array, area, start = bytearray(), bytearray(), 4 * len(given)
        for column, data in given:
            word, header = start + len(area), _LONG if column.long else 0
            if header and not self._large:
                word |= _HEADER_BIT
            if header or self._large:
                area.append(header)
            area += data
            if start + len(area) > self._most:
                raise _NotPlainError
            array += struct.pack("<HH", column.id, word)
        if start + len(area) > (_LARGE_MOST if self._large else _SMALL_MOST):
            raise _NotPlainError
        return bytes(array + area)

    # Keys

    def _key(self, key: Key, cells: dict[int, bytes | None]) -> bytes | None:
        made, nulls = b"", []
        for part in key.parts:
            data = self._effective(cells, part.column)
            column = self._columns[part.column]
            if data is not None and column.id < FIRST_VARIABLE:
                data = data.ljust(column.size, bytes([column.pad]))
            nulls.append(data is None)
            made += _segment(key, part, data, key.most - len(made))
            if len(made) >= key.most:
                raise _NotPlainError
        if (any(nulls) and key.nulls & NO_NULL) or (
            not _has_entry(key, nulls) and key.nulls & NEEDED
        ):
            raise _NotPlainError
        return made if _has_entry(key, nulls) else None


def _has_entry(key: Key, nulls: list[bool]) -> bool:
    if all(nulls):
        return bool(key.nulls & ALL_NULL)
    if nulls[0] and not key.nulls & FIRST_NULL:
        return False
    return not any(nulls[1:]) or bool(key.nulls & SOME_NULL)


def _segment(key: Key, part: KeyPart, data: bytes | None, room: int) -> bytes:
    if part.make is not None and data is not None:
        try:
            return part.make(data)
        except Exception as error:
            raise _NotPlainError from error
    segment = Segment(
        1, 0, part.size, False, part.normal, part.descending, False, False, False, None
    )
    flags = NULLS_HIGH if key.high else 0
    index = Index([segment], [], flags, room, _KEY_MOST + 1, None, 0, None)
    return index.segment(segment, data, room)


def _encoded(column: Column, value: Any) -> bytes:
    kind, exact = column.kind, type(value)
    if exact is _TYPES.get(kind):
        if kind in (SIGNED, UNSIGNED):
            try:
                return int(value).to_bytes(column.size, "little", signed=kind == SIGNED)
            except OverflowError as error:
                raise _NotPlainError from error
        if kind == BIT:
            return b"\xff" if value else b"\0"
        if kind == BYTES:
            return bytes(value)
    try:
        data = column.encode(value)
    except Exception as error:
        raise _NotPlainError from error
    if type(data) is not bytes:
        raise _NotPlainError
    return data


def _check(columns: Sequence[Column], keys: Sequence[Key], most: int) -> None:
    ids = [column.id for column in columns]
    if ids != sorted(set(ids)) or any(not 0 < fid <= 0xFFFF for fid in ids):
        raise ValueError("columns are in order of their ids")
    fixed = [column for column in columns if column.id < FIRST_VARIABLE]
    if any(c.offset < 4 or c.size < 0 or c.offset + c.size > most for c in fixed):
        raise ValueError("a fixed column beyond the record")
    if any(len(c.preset or b"") > c.size for c in fixed):
        raise ValueError("a default value that does not fit its column")
    if any(c.kind in _NUMBER_SIZES and c.size not in _NUMBER_SIZES[c.kind] for c in columns):
        raise ValueError("a number of no known size")
    if not 16 <= most <= _RECORD_MOST:
        raise ValueError(f"records of {most} bytes")
    for key in keys:
        if not 1 <= len(key.parts) <= 16 or not 1 <= key.most <= _KEY_MOST:
            raise ValueError("a key that cannot be")
        for part in key.parts:
            if not 0 <= part.column < len(columns):
                raise ValueError("a key of a column that is not there")
            if part.make is None and not 0 <= part.normal < UNICODE:
                raise ValueError("a key of what is not made here")
            column = columns[part.column]
            is_number = part.make is None and part.normal < len(NUMBER_SIZES)
            if is_number and not part.size == column.size in NUMBER_SIZES[part.normal]:
                raise ValueError("a key of a number of another size")
            if is_number and column.id >= FIRST_VARIABLE:
                raise ValueError("a number is a fixed column")
