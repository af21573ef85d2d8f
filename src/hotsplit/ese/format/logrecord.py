"""Log records: their size, and their fields in both directions.

Source: log specification 4.1, 4.2. The types themselves are in `recordtable`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from hotsplit.errors import LogDamaged
from hotsplit.ese.format.attachments import DbmsParameters
from hotsplit.ese.format.basics import LogPosition, LogTime, Signature
from hotsplit.ese.format.recordtable import TABLE, RecordType, Row

NO_DBTIME = 0xFFFF_FFFF_FFFF_FFFF
"""`dbtime_before` of a record in a macro, or one that creates its page or changes none."""

LINE_MASK = 0x7FFF
"""Bits of `iline` that are the node's index."""

# Bits of `flags` in page records (``fPage``).
VERSIONED = 0x01
UNIQUE = 0x04
SPACE_TREE = 0x08

LARGE_DIFF = 0x8000
"""Bit of `change_size` in REPLACE_DIFF: the diff stream is in the large format."""

WITH_VERSION = 0x04
"""Bit of `flags` in CREATE_DB: four bytes of version precede the path."""

_CHANGE_MASK = 0x7FFF
_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i16": "h", "i32": "i", "i64": "q"}
_CODES |= {"lgpos": "8s", "logtime": "8s", "sig": "28s", "dbms": "567s", "raw32": "32s"}
_LOADERS: dict[str, Callable[[bytes], Any]] = {
    "lgpos": LogPosition.unpack,
    "logtime": LogTime.unpack,
    "sig": Signature.unpack,
    "dbms": DbmsParameters,
}


class _Shape(NamedTuple):
    """What is worked out once for a record type."""

    type: RecordType
    fixed: int
    unpack: struct.Struct
    sizes: struct.Struct
    names: tuple[str, ...]
    at: dict[str, int]
    loaders: dict[str, Callable[[bytes], Any]]
    parts: tuple[str, ...]
    special: bool
    known: frozenset[str]
    empty: dict[str, Any]


def _shape(row: Row) -> _Shape:
    """Compile a line of the table. The Struct `sizes` reads only the fields that hold lengths."""
    fields = [field.split(":") for field in row.fields.split()]
    names = tuple(name for name, _ in fields)
    parts = tuple(row.parts.split())
    lengths = {f"{part}_size" for part in parts}
    sizes = "".join(
        _CODES[kind] if name in lengths else f"{struct.calcsize('<' + _CODES[kind])}x"
        for name, kind in fields
    )
    shape = _Shape(
        row.type,
        row.size,
        struct.Struct("<x" + "".join(_CODES[kind] for _, kind in fields)),
        struct.Struct("<x" + sizes),
        names,
        {name: i for i, name in enumerate(names)},
        {name: _LOADERS[kind] for name, kind in fields if kind in _LOADERS},
        parts,
        row.type in (RecordType.REPLACE, RecordType.REPLACE_DIFF, RecordType.CREATE_DB),
        frozenset(names + parts),
        {name: _empty(_CODES[kind]) for name, kind in fields},
    )
    assert shape.unpack.size == shape.sizes.size == row.size, row.tag
    return shape


def _empty(code: str) -> Any:
    return bytes(struct.calcsize(code)) if code.endswith("s") else 0


_SHAPES: list[_Shape | None] = [None] * 256
for _row in TABLE:
    _SHAPES[_row.type] = _shape(_row)
TAGS = {row.type: row.tag for row in TABLE}
"""The engine's own word for each type in its dumps."""


def record_size(data: bytes, offset: int, limit: int) -> int:
    """Return the size of the record at `offset`, which must end at or before `limit`.

    Raises LogDamaged (-501) for an unknown type and a record that passes the limit.
    """
    shape = _shape_at(data, offset, limit)
    size = shape.fixed
    if shape.parts:
        if shape.special:
            size += sum(_part_sizes(shape, shape.unpack.unpack_from(data, offset)))
        else:
            size += sum(shape.sizes.unpack_from(data, offset))
        if offset + size > limit:
            raise LogDamaged(f"{TAGS[shape.type]} of {size} bytes passes the end")
    return size


class LogRecord:
    """One decoded record. Fields and variable parts are attributes, named as in `recordtable`.

    An attribute that this type does not have raises AttributeError. `iline` is a node's index under
    LINE_MASK. The parts are bytes.
    """

    # What page and node records share; the others are found by name alone.
    procid: int
    dbid: int
    pgno: int
    dbtime: int
    dbtime_before: int
    trx: int
    level: int
    iline: int
    flags: int
    rceid: int
    fdp: int
    objid: int

    def __init__(self, raw: bytes, shape: _Shape) -> None:
        self.raw = raw
        self._shape = shape
        self._values = shape.unpack.unpack_from(raw)
        # Fields are asked for again and again: as attributes that are there they cost least.
        fields = self.__dict__
        fields.update(zip(shape.names, self._values, strict=True))
        for name, load in shape.loaders.items():
            fields[name] = load(fields[name])

    @property
    def type(self) -> RecordType:
        """The record's type."""
        return self._shape.type

    @property
    def tag(self) -> str:
        """The engine's word for it."""
        return TAGS[self._shape.type]

    @property
    def body(self) -> bytes:
        """All variable parts together."""
        return self.raw[self._shape.fixed :]

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return len(self.raw)

    def parts(self) -> dict[str, bytes]:
        """Return the variable parts by name, in order."""
        found: dict[str, bytes] = {}
        start = self._shape.fixed
        sizes = _part_sizes(self._shape, self._values)
        for name, size in zip(self._shape.parts, sizes, strict=True):
            found[name] = self.raw[start : start + size]
            start += size
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return all fields and parts by name: what `encode` takes."""
        return {name: getattr(self, name) for name in self._shape.names} | self.parts()

    def __getattr__(self, name: str) -> Any:
        """Find a variable part; fields are there."""
        shape = self._shape
        if name not in shape.parts:
            raise AttributeError(f"{shape.type.name} has no {name!r}")
        self.__dict__.update(self.parts())
        return self.__dict__[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LogRecord) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.as_dict().items())
        return f"{self.type.name}({fields})"


def decode(data: bytes, offset: int = 0) -> LogRecord:
    """Decode the record at `offset`; bytes behind it are left alone. Raises LogDamaged (-501)."""
    size = record_size(data, offset, len(data))
    raw = data if size == len(data) else data[offset : offset + size]
    shape = _SHAPES[raw[0]]
    assert shape is not None
    return LogRecord(bytes(raw), shape)


def encode(type_: RecordType, **fields: Any) -> bytes:
    """Return the bytes of a record; numbers left out are 0, parts left out are empty.

    Lengths of parts follow from the parts. `change_size` may be given for its LARGE_DIFF bit.
    Raises ValueError for a name that the type does not have and a length that does not fit.
    """
    shape = _SHAPES[type_]
    assert shape is not None
    if not fields.keys() <= shape.known:
        unknown = sorted(fields.keys() - shape.known)
        raise ValueError(f"{type_.name} has no {', '.join(unknown)}")
    parts = {part: bytes(fields.get(part, b"")) for part in shape.parts}
    stated = shape.empty | {f"{part}_size": len(data) for part, data in parts.items()} | fields
    values = [value if type(value) is int else _stored(value) for value in stated.values()]
    values = values[: len(shape.names)]
    if _part_sizes(shape, values) != [len(data) for data in parts.values()]:
        raise ValueError(f"lengths of {type_.name} do not match its parts")
    try:
        head = shape.unpack.pack(*values)
    except struct.error as error:
        raise ValueError(f"{type_.name}: {error}") from error
    return bytes((type_,)) + head[1:] + b"".join(parts.values())


def _stored(value: Any) -> Any:
    """Turn a field's value into what struct packs."""
    if isinstance(value, DbmsParameters):
        return bytes(value.raw)
    return value.pack() if hasattr(value, "pack") else value


def _part_sizes(shape: _Shape, values: tuple[Any, ...] | list[Any]) -> list[int]:
    """Return the lengths of the parts; two kinds of record do not simply state them."""
    if shape.type == RecordType.CREATE_DB:
        flags, path = values[shape.at["flags"]], values[shape.at["path_size"]]
        return [4 if flags & WITH_VERSION else 0, path]
    sizes = [values[shape.at[f"{part}_size"]] for part in shape.parts]
    return [size & _CHANGE_MASK for size in sizes] if shape.special else sizes


def _shape_at(data: bytes, offset: int, limit: int) -> _Shape:
    shape = _SHAPES[data[offset]] if 0 <= offset < min(limit, len(data)) else None
    if shape is None:
        kind = data[offset] if 0 <= offset < len(data) else None
        raise LogDamaged(f"Record of unknown type {kind}")
    if offset + shape.fixed > min(limit, len(data)):
        raise LogDamaged(f"{TAGS[shape.type]} passes the end")
    return shape
