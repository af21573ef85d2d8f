"""Batches: some thousand rows as columns, in the memory layout of Apache Arrow.

A column's buffers can be handed to any library that speaks Arrow; nothing here needs one. Values
are as stored: DateTime is its 64 bits, Currency its 64-bit number; text is UTF-8, a GUID the 16
bytes in the order of its text.

Source: Apache Arrow columnar format 1.4 (layout of arrays); format specification 7.2 (types).
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hotsplit import _native
from hotsplit.ese.format.columns import (
    NUMBER_CODES,
    TEXT_TYPES,
    UTF16,
    Coltyp,
    ColumnDef,
    ColumnFlag,
    DateTime,
    Scalar,
    Value,
    decode_text,
    decode_value,
)

_kernel = _native.load("batch")
_ANSI_PAGES = (0, 1252)
KernelColumn = tuple[int, int, int, int, bool, bool, bytes | None]


class Buffers(NamedTuple):
    """The values of one column of a batch.

    length: number of elements; as many as rows, unless rows are lists. validity: a bit an element,
    None if none is null. offsets: int32, one more than elements, None where all elements have one
    size. data: bits for Bit, else bytes. row_validity, row_offsets: the same of lists; None unless
    the column has several values in some row or may have.
    """

    length: int
    validity: bytes | None
    offsets: bytes | None
    data: bytes
    row_validity: bytes | None = None
    row_offsets: bytes | None = None

    @property
    def is_list(self) -> bool:
        """True if each row is a list."""
        return self.row_offsets is not None


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table. buffers: one entry a column, None where all rows are null.

    keys: the bookmarks, if asked for. places: 8 bytes a row: page (uint32), node (uint16), label
    (uint16, see `hotsplit.ese.read.labels`), little-endian. raw: by column and element, the bytes
    of text that is not valid in its code page, if they were asked for.
    """

    rows: int
    columns: list[ColumnDef]
    buffers: list[Buffers | None]
    places: bytes
    keys: Buffers | None = None
    raw: Mapping[int, Mapping[int, bytes]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.rows

    def values(self) -> Iterator[list[Value]]:
        """Yield the rows as lists of Python values, as `Table.values` does."""
        if not self.columns:
            return iter([[] for _ in range(self.rows)])
        columns = [
            _rows_of(column, found, self.rows, self.raw.get(i, {}))
            for i, (column, found) in enumerate(zip(self.columns, self.buffers, strict=True))
        ]
        return map(list, zip(*columns, strict=True))

    def key_values(self) -> list[bytes]:
        """Return the bookmarks. Raises ValueError if they were not asked for."""
        if self.keys is None:
            raise ValueError("the batch has no bookmarks")
        ends = memoryview(self.keys.offsets or b"").cast("i").tolist()
        return [self.keys.data[start:end] for start, end in itertools.pairwise(ends)]

    @classmethod
    def finish(
        cls, builder: Any, columns: list[ColumnDef], raw: Mapping[int, Mapping[int, bytes]]
    ) -> Batch:
        """Take what a builder of these columns has."""
        rows, buffers, keys, places = builder.finish()
        return cls(
            rows,
            columns,
            [None if found is None else Buffers(*found) for found in buffers],
            places,
            None if keys is None else Buffers(*keys),
            raw,
        )


def kernel_column(column: ColumnDef) -> KernelColumn:
    """Return what the kernel has to know of a column."""
    kind = _kind(column)
    default = default_element(column)
    size = column.stored_size
    return (kind, column.id, column.offset, size, column.derived, column.is_multi_valued, default)


def _kind(column: ColumnDef) -> int:
    coltyp = column.coltyp
    kind: int = _kernel.BINARY
    if coltyp in NUMBER_CODES or coltyp == Coltyp.DATE_TIME:
        kind = _kernel.NUMBER
    elif coltyp == Coltyp.BIT:
        kind = _kernel.BIT
    elif coltyp == Coltyp.GUID:
        kind = _kernel.GUID
    elif coltyp in TEXT_TYPES and column.code_page == UTF16:
        kind = _kernel.UTF16
    elif coltyp in TEXT_TYPES:
        kind = _kernel.ANSI if column.code_page in _ANSI_PAGES else _kernel.RAW
    return kind


def default_element(column: ColumnDef) -> bytes | None:
    """Return in final form what stands for a missing value; None for null."""
    if column.default_data is None or column.flags & ColumnFlag.USER_DEFAULT:
        return None
    try:
        return element(column, column.default_data)[0]
    except ValueError:
        return None


def element(column: ColumnDef, data: bytes) -> tuple[bytes | None, bool]:
    """Return (the final form of stored bytes, whether nothing was lost).

    Text that is not valid in its code page has U+FFFD where it is not. Raises ValueError if the
    size is wrong.
    """
    if column.coltyp in TEXT_TYPES:
        text = decode_text(data, column.code_page)
        if isinstance(text, str):
            return text.encode("utf-8", "replace"), True
        codec = "utf-16-le" if column.code_page == UTF16 else "ascii"
        return data.decode(codec, "replace").encode("utf-8", "replace"), False
    if decode_value(column, data) is None:
        return None, True
    if column.coltyp == Coltyp.BIT:
        return b"\1" if data != b"\0" else b"\0", True
    if column.coltyp == Coltyp.GUID:
        return data[3::-1] + data[5:3:-1] + data[7:5:-1] + data[8:], True
    return data, True


_BITS = [tuple(bool(byte >> i & 1) for i in range(8)) for byte in range(256)]


def _flags(bits: bytes, count: int) -> list[bool]:
    return list(itertools.chain.from_iterable(map(_BITS.__getitem__, bits)))[:count]


def _valid(values: list[Any], validity: bytes | None) -> list[Any]:
    """Return the values, None where the validity says so."""
    if validity is None:
        return values
    flags = _flags(validity, len(values))
    return [value if flag else None for value, flag in zip(values, flags, strict=True)]


def element_values(column: ColumnDef, buffers: Buffers) -> list[Scalar]:
    """Return the elements of a column as Python values, None for null."""
    return _valid(_all_elements(column, buffers), buffers.validity)


def _all_elements(column: ColumnDef, buffers: Buffers) -> list[Any]:
    coltyp, data = column.coltyp, buffers.data
    if coltyp == Coltyp.BIT:
        return list(_flags(data, buffers.length))
    if coltyp in NUMBER_CODES:
        code: Any = NUMBER_CODES[coltyp]
        numbers: list[Any] = memoryview(data).cast(code).tolist()
        return numbers
    if coltyp == Coltyp.DATE_TIME:
        return [DateTime(data[at : at + 8]) for at in range(0, len(data), 8)]
    if coltyp == Coltyp.GUID:
        return [uuid.UUID(bytes=data[at : at + 16]) for at in range(0, len(data), 16)]
    ends = memoryview(buffers.offsets or b"").cast("i").tolist()
    pieces = itertools.pairwise(ends)
    if coltyp in TEXT_TYPES:
        return [data[start:end].decode() for start, end in pieces]
    return [data[start:end] for start, end in pieces]


def _rows_of(
    column: ColumnDef, buffers: Buffers | None, rows: int, raw: Mapping[int, bytes]
) -> list[Any]:
    """Return the values of a column, a list a row where there are several or may be."""
    if buffers is None:
        return [None] * rows
    elements = element_values(column, buffers)
    for element, data in raw.items():
        elements[element] = data
    if buffers.row_offsets is None:
        return elements
    ends = memoryview(buffers.row_offsets).cast("i").tolist()
    lists: list[Any] = [elements[start:end] for start, end in itertools.pairwise(ends)]
    if not column.is_multi_valued:
        lists = [one[0] if len(one) == 1 else one for one in lists]
    return _valid(lists, buffers.row_validity)
