"""Batches: some thousand rows as columns, in the memory layout of Apache Arrow.

A column's buffers can be handed to any library that speaks Arrow; nothing here needs one. Values
are as stored: DateTime is its 64 bits, Currency its 64-bit number; text is UTF-8, a GUID the 16
bytes in the order of its text.

Source: Apache Arrow columnar format 1.4 (layout of arrays); format specification 7.2 (types).
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hotsplit import _native
from hotsplit.ese.format.columns import (
    NUMBER_CODES,
    TEXT_TYPES,
    UTF16,
    Coltyp,
    ColumnDef,
    ColumnFlag,
    Scalar,
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
    (uint16, see `hotsplit.ese.read.labels`), little-endian.
    """

    rows: int
    columns: list[ColumnDef]
    buffers: list[Buffers | None]
    places: bytes
    keys: Buffers | None = None

    def __len__(self) -> int:
        return self.rows

    @classmethod
    def finish(cls, builder: object, columns: list[ColumnDef]) -> Batch:
        """Take what a builder of these columns has."""
        rows, buffers, keys, places = builder.finish()  # type: ignore[attr-defined]
        return cls(
            rows,
            columns,
            [None if found is None else Buffers(*found) for found in buffers],
            places,
            None if keys is None else Buffers(*keys),
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


def is_set(bits: bytes | None, i: int) -> bool:
    """Return bit `i` of validity or of a column of bits; True without validity."""
    return bits is None or bool(bits[i >> 3] >> (i & 7) & 1)


def element_values(column: ColumnDef, buffers: Buffers) -> list[Scalar]:
    """Return the elements of a column as Python values, None for null."""
    count, validity = buffers.length, buffers.validity
    if column.coltyp == Coltyp.BIT:
        return [is_set(buffers.data, i) if is_set(validity, i) else None for i in range(count)]
    return [
        _value(column, piece) if is_set(validity, i) else None
        for i, piece in enumerate(_pieces(buffers))
    ]


def _pieces(buffers: Buffers) -> Iterator[bytes]:
    data = buffers.data
    if buffers.offsets is None:
        size = len(data) // max(1, buffers.length)
        return (data[at : at + size] for at in range(0, len(data), size or 1))
    ends = memoryview(buffers.offsets).cast("i").tolist()
    return (data[start:end] for start, end in itertools.pairwise(ends))


def _value(column: ColumnDef, data: bytes) -> Scalar:
    if column.coltyp in TEXT_TYPES:
        return data.decode()
    if column.coltyp == Coltyp.GUID:
        return uuid.UUID(bytes=data)
    return decode_value(column, data)
