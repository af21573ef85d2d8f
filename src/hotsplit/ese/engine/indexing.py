"""Index entries: which keys a row has in an index.

Source: format specification 10.1, 10.5, 6.6.
"""

from __future__ import annotations

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.engine.rows import LongReader, Pieces, RowFormat, padded, plain
from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag, KeySegment
from hotsplit.ese.format.collation import KeyUnknown
from hotsplit.ese.format.columns import ColumnDef, Value, encode_value
from hotsplit.ese.format.keys import build_key

_KEY_MOST = 255
_TEXT_MOST = 256


class KeyMaker:
    """The keys of one index.

    segments: columns of the key, and whether they descend. most: bytes of a key.
    """

    def __init__(self, index: IndexDef, rows: RowFormat) -> None:
        self.index = index
        by_id = {column.id: column for column in rows.columns}
        self.segments = [(by_id[s.column_id], s.is_descending) for s in index.key]
        self._conditions = [
            (by_id[s.column_id], bool(s.flags & KeySegment.MUST_BE_NULL)) for s in index.conditions
        ]
        self.most = index.key_most or _KEY_MOST
        self._several = next((c for c, _ in self.segments if c.is_multi_valued), None)

    @property
    def has_conditions(self) -> bool:
        """True if not every row has entries."""
        return bool(self._conditions)

    @property
    def columns(self) -> list[ColumnDef]:
        """The columns that the keys depend on."""
        return [c for c, _ in (*self.segments, *self._conditions)]

    def keys(self, row: Pieces, read: LongReader) -> list[bytes]:
        """Return the keys of a row, none twice. Raises InvalidUse (-1053, -346)."""
        for column, must_be_null in self._conditions:
            if (row.stored(column) is None) != must_be_null:
                return []
        count = 1
        if self._several is not None:
            count = max(1, len(row.stored(self._several) or ()))
        made = (self._key(row, number, read) for number in range(count))
        return list(dict.fromkeys(key for key in made if key is not None))

    def _key(self, row: Pieces, number: int, read: LongReader) -> bytes | None:
        """Return the key with value `number` of the multi-valued column, None for no entry."""
        values = []
        for column, _ in self.segments:
            found = row.stored(column) or ()
            at = number if column is self._several else 0
            values.append(plain(found[at], read, _TEXT_MOST * 8) if at < len(found) else None)
        if not self._accepts([value is None for value in values]):
            return None
        return self.build(values)

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
        """Return the key of stored values; fewer values than segments make the start of a key.

        Raises InvalidUse (-602).
        """
        try:
            return build_key([column for column, _ in self.segments], self.index, values)
        except KeyUnknown as error:
            raise InvalidUse(
                f"Index {self.index.name}: {error}", jet=Jet.errUnicodeNormalizationNotSupported
            ) from error

    def search_key(self, values: tuple[Value, ...]) -> bytes:
        """Return the key of Python values, for a search. Raises InvalidUse (-1003)."""
        if len(values) > len(self.segments):
            raise InvalidUse(f"Index {self.index.name} has {len(self.segments)} columns")
        stored: list[bytes | None] = []
        for (column, _), value in zip(self.segments, values, strict=False):
            if isinstance(value, list):
                raise InvalidUse("A key has one value a column")
            try:
                data = None if value is None else encode_value(column, value)
                stored.append(padded(column, data) if data and column.is_fixed else data)
            except ValueError as error:
                raise InvalidUse(str(error)) from error
        return self.build(stored)
