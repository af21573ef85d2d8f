"""A declarative layer for fixed layouts: one class a structure, one line a field.

A `Layout` keeps the raw bytes and reads and writes fields in place, so bytes that this version does
not know survive a rewrite (format specification 1.4: writers must preserve unknown bytes).

    class Example(Layout):
        SIZE = 16
        magic = U32(4)
        mark = Position(8)
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from hotsplit.ese.format.basics import BackupInfo, LogPosition, LogTime, Signature

T = TypeVar("T")


class Field(Generic[T]):
    """A descriptor: `size` bytes at `offset`, converted by `load` and `store`."""

    def __init__(
        self, offset: int, size: int, load: Callable[[bytes], T], store: Callable[[T], bytes]
    ) -> None:
        self.offset = offset
        self.size = size
        self._load = load
        self._store = store
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, obj: None, owner: type) -> Self: ...
    @overload
    def __get__(self, obj: Layout, owner: type) -> T: ...
    def __get__(self, obj: Layout | None, owner: type) -> T | Self:
        if obj is None:
            return self
        return self._load(bytes(obj.raw[self.offset : self.offset + self.size]))

    def __set__(self, obj: Layout, value: T) -> None:
        data = self._store(value)
        assert len(data) == self.size
        obj.raw[self.offset : self.offset + self.size] = data


def _number(code: str) -> Callable[[int], Field[int]]:
    packer = struct.Struct("<" + code)

    def field(offset: int) -> Field[int]:
        return Field(offset, packer.size, lambda data: packer.unpack(data)[0], packer.pack)

    return field


U8, U16, U32, U64 = _number("B"), _number("H"), _number("I"), _number("Q")
I32 = _number("i")


def Position(offset: int) -> Field[LogPosition]:  # noqa: N802 - reads as a type
    """LGPOS, 8 bytes."""
    return Field(offset, 8, LogPosition.unpack, LogPosition.pack)


def Time(offset: int) -> Field[LogTime]:  # noqa: N802
    """LOGTIME, 8 bytes."""
    return Field(offset, 8, LogTime.unpack, LogTime.pack)


def Sign(offset: int) -> Field[Signature]:  # noqa: N802
    """SIGNATURE, 28 bytes."""
    return Field(offset, 28, Signature.unpack, Signature.pack)


def Backup(offset: int) -> Field[BackupInfo]:  # noqa: N802
    """BKINFO, 24 bytes."""
    return Field(offset, 24, BackupInfo.unpack, BackupInfo.pack)


def Raw(offset: int, size: int) -> Field[bytes]:  # noqa: N802
    """`size` bytes as they are."""
    return Field(offset, size, bytes, bytes)


class Layout:
    """Base of all fixed structures. `SIZE` is the least number of bytes that hold the fields."""

    SIZE: ClassVar[int]

    def __init__(self, raw: bytes | bytearray | memoryview) -> None:
        if len(raw) < self.SIZE:
            raise ValueError(f"{type(self).__name__} needs {self.SIZE} bytes, got {len(raw)}")
        self.raw = bytearray(raw)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for field in cls.fields():
            assert field.offset + field.size <= cls.SIZE, f"{cls.__name__}.{field.name}"

    @classmethod
    def fields(cls) -> list[Field[Any]]:
        """Return all fields in order of offset."""
        found = [f for c in cls.__mro__ for f in vars(c).values() if isinstance(f, Field)]
        return sorted(found, key=lambda f: f.offset)

    @classmethod
    def empty(cls, size: int | None = None) -> Self:
        """Return the structure with all bytes zero, `size` bytes long."""
        return cls(bytes(cls.SIZE if size is None else size))

    def copy(self) -> Self:
        """Return an independent copy."""
        return type(self)(self.raw)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {f.name: getattr(self, f.name) for f in self.fields()}
