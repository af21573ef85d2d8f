"""Index entries: which keys a row has in an index.

Source: format specification 10.1, 10.5, 6.6.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator

from hotsplit.errors import DataDamaged, InvalidUse, Jet, KeyDuplicate
from hotsplit.ese.engine.tables.rowmaker import SearchKeys
from hotsplit.ese.engine.tables.rows import LongReader, Pieces, RowFormat, fixed, plain
from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag, KeySegment, Segment, tuple_limits
from hotsplit.ese.format.collation import KeyUnknown
from hotsplit.ese.format.columns import TEXT_TYPES, UTF16, ColumnDef, Value, encode_value
from hotsplit.ese.format.keys import record_key

_Make = Callable[[list[ColumnDef], IndexDef, list[bytes | None]], bytes]
_KEY_MOST = 255
_TEXT_MOST = 256
_LONGEST = 0x20000  # bytes of a text that tuples can come from


class KeyMaker:
    """The keys of one index.

    segments: columns of the key, and whether they descend. most: bytes of a key.
    Raises DataDamaged (-1220) if a column that the index names is not there.
    """

    def __init__(self, index: IndexDef, rows: RowFormat) -> None:
        self.index = index
        self.segments = [(self._column(rows, s), s.is_descending) for s in index.key]
        self._conditions = [
            (self._column(rows, s), bool(s.flags & KeySegment.MUST_BE_NULL))
            for s in index.conditions
        ]
        self.most = index.key_most or _KEY_MOST
        self._several = next((c for c, _ in self.segments if c.is_multi_valued), None)
        self._tuples = tuple_limits(index.tuple_limits)

    def _column(self, rows: RowFormat, segment: Segment) -> ColumnDef:
        try:
            return rows.column_of(segment)
        except KeyError:
            said = f"Index {self.index.name} is of column {segment.column_id}, which is not there"
            raise DataDamaged(said, jet=Jet.errCatalogCorrupted) from None

    @property
    def is_plain(self) -> bool:
        """True if a row of single values has one entry, made of its columns as they are."""
        return self._tuples is None and not self._conditions

    @property
    def columns(self) -> list[ColumnDef]:
        """The columns that the keys depend on."""
        return [c for c, _ in (*self.segments, *self._conditions)]

    def keys(self, row: Pieces, read: LongReader) -> list[bytes]:
        """Return the keys of a row, none twice. Raises InvalidUse (-1053), KeyDuplicate (-1411)."""
        for column, must_be_null in self._conditions:
            if (row.stored(column) is None) != must_be_null:
                return []
        made: dict[bytes, None] = {}
        for values in self._choices(row, read):
            if self._tuples is None:
                if self._accepts([value is None for value in values]):
                    self._take(made, self.build(values))
            elif values[0] is not None:
                text = values[0]
                made |= {self.build([part, *values[1:]]): None for part in self._parts(text)}
        return list(made)

    def _take(self, made: dict[bytes, None], key: bytes) -> None:
        if self.index.is_unique and key in made:
            raise KeyDuplicate(
                f"A row has a key of the unique index {self.index.name} twice",
                jet=Jet.errMultiValuedIndexViolation,
            )
        made[key] = None

    def _choices(self, row: Pieces, read: LongReader) -> Iterator[list[bytes | None]]:
        """Yield the values that each entry is made of: of a multi-valued column one after another.

        That is the first such column of the key; with a cross product it is all of them.
        """
        most = _LONGEST if self._tuples is not None else _TEXT_MOST * 8
        cross = self.index.flags & IndexFlag.CROSS_PRODUCT
        columns: list[list[bytes | None]] = []
        for column, _ in self.segments:
            found = row.stored(column) or []
            if column is not self._several and not cross:
                found = found[:1]
            columns.append([plain(one, read, most) for one in found] or [None])
        for values in itertools.product(*columns):
            yield list(values)

    def _parts(self, text: bytes) -> Iterator[bytes]:
        """Yield the parts of a text that a tuple index is made of (10.5)."""
        assert self._tuples is not None
        least, longest, count, step, start = self._tuples
        column = self.segments[0][0]
        size = 2 if column.coltyp in TEXT_TYPES and column.code_page == UTF16 else 1
        for number in range(count):
            at = (start + number * step) * size
            if len(text) - at < least * size:
                return
            yield text[at : at + longest * size]

    def _accepts(self, nulls: list[bool]) -> bool:
        if not any(nulls):
            return True
        flags = self.index.flags
        if flags & IndexFlag.NO_NULL_SEGMENTS:
            raise InvalidUse(
                f"A column of index {self.index.name} is NULL", jet=Jet.errNullKeyDisallowed
            )
        if all(nulls):
            return bool(flags & IndexFlag.ALLOW_ALL_NULLS)
        if nulls[0] and not flags & IndexFlag.ALLOW_FIRST_NULL:
            return False
        return not any(nulls[1:]) or bool(flags & IndexFlag.ALLOW_SOME_NULLS)

    def build(self, values: list[bytes | None]) -> bytes:
        """Return the key of the values of a record. Raises InvalidUse (-603)."""
        return self._make(record_key, values)

    def _make(self, make: _Make, values: list[bytes | None]) -> bytes:
        """Return the key of stored values; fewer values than segments make the start of a key.

        Raises InvalidUse (-603).
        """
        try:
            return make([column for column, _ in self.segments], self.index, values)
        except KeyUnknown as error:
            raise InvalidUse(
                f"Index {self.index.name}: {error}", jet=Jet.errUnicodeNormalizationNotSupported
            ) from error

    @functools.cached_property
    def _search_keys(self) -> SearchKeys:
        return SearchKeys(self)

    def search_key(self, values: tuple[Value, ...]) -> bytes:
        """Return the key of Python values, for a search. Raises InvalidUse (-1003)."""
        plain = self._search_keys.make(values)
        if plain is not None:
            return plain
        if len(values) > len(self.segments):
            raise InvalidUse(f"Index {self.index.name} has {len(self.segments)} columns")
        stored: list[bytes | None] = []
        for (column, _), value in zip(self.segments, values, strict=False):
            if isinstance(value, list):
                raise InvalidUse("A key has one value a column")
            try:
                data = None if value is None else encode_value(column, value)
                if data is not None and column.is_fixed:
                    data = fixed(column, data)
                stored.append(data)
            except ValueError as error:
                raise InvalidUse(str(error)) from error
        return self._make(record_key, stored)
