"""Column types, column definitions, and how the bytes of a value become a Python value.

Python values: Bit -> bool; integers and Currency -> int (Currency as the stored 64-bit number);
IEEE floats -> float; DateTime -> `DateTime`; GUID -> uuid.UUID; Text -> str; Binary -> bytes.
Text that is not valid in its code page stays bytes, so nothing is invented or lost.

Source: format specification 7.2 (types), 6.5 (column flags), 7.4 (defaults).
"""

from __future__ import annotations

import codecs
import datetime as dt
import math
import struct
import uuid
from dataclasses import dataclass
from enum import IntEnum, IntFlag

FIRST_VARIABLE, FIRST_TAGGED, LAST_ID = 128, 256, 0xFEE0


class Coltyp(IntEnum):
    """Column types by number."""

    NIL = 0
    BIT = 1
    UNSIGNED_BYTE = 2
    SHORT = 3
    LONG = 4
    CURRENCY = 5
    IEEE_SINGLE = 6
    IEEE_DOUBLE = 7
    DATE_TIME = 8
    BINARY = 9
    TEXT = 10
    LONG_BINARY = 11
    LONG_TEXT = 12
    SLV = 13
    UNSIGNED_LONG = 14
    LONG_LONG = 15
    GUID = 16
    UNSIGNED_SHORT = 17
    UNSIGNED_LONG_LONG = 18

    @property
    def title(self) -> str:
        """The name in the spelling of the documentation, e.g. ``LongText``."""
        return _TITLES.get(self, self.name.title().replace("_", ""))


_TITLES = {Coltyp.IEEE_SINGLE: "IEEESingle", Coltyp.IEEE_DOUBLE: "IEEEDouble",
           Coltyp.GUID: "GUID", Coltyp.SLV: "SLV"}  # fmt: skip

NUMBER_CODES: dict[int, str] = {
    Coltyp.UNSIGNED_BYTE: "B",
    Coltyp.SHORT: "h",
    Coltyp.LONG: "i",
    Coltyp.CURRENCY: "q",
    Coltyp.IEEE_SINGLE: "f",
    Coltyp.IEEE_DOUBLE: "d",
    Coltyp.UNSIGNED_LONG: "I",
    Coltyp.LONG_LONG: "q",
    Coltyp.UNSIGNED_SHORT: "H",
    Coltyp.UNSIGNED_LONG_LONG: "Q",
}
_SIZES: dict[int, int] = {
    **{coltyp: struct.calcsize("<" + code) for coltyp, code in NUMBER_CODES.items()},
    Coltyp.BIT: 1,
    Coltyp.DATE_TIME: 8,
    Coltyp.GUID: 16,
}
TEXT_TYPES = (Coltyp.TEXT, Coltyp.LONG_TEXT)
LONG_TYPES = (Coltyp.LONG_BINARY, Coltyp.LONG_TEXT)


class ColumnFlag(IntFlag):
    """Column flags in the catalog (6.5); not the bits of the API."""

    NOT_NULL = 0x1
    VERSION = 0x2
    AUTOINCREMENT = 0x4
    MULTI_VALUED = 0x8
    DEFAULT = 0x10
    ESCROW = 0x20
    FINALIZE = 0x40
    USER_DEFAULT = 0x80
    TEMPLATE = 0x100
    DELETE_ON_ZERO = 0x200
    PRIMARY_PLACEHOLDER = 0x800
    COMPRESSED = 0x1000
    ENCRYPTED = 0x2000


# A plain number: an operation on members of a Flag takes ten times as long.
_MULTI_VALUED = int(ColumnFlag.MULTI_VALUED)


def type_size(coltyp: int) -> int:
    """Return the size in bytes of a value of a fixed-size type, 0 for text and binary types."""
    return _SIZES.get(coltyp, 0)


_DAY_NS = 86_400 * 10**9
_EPOCH = dt.datetime(1899, 12, 30)
_LEAST_DAY = (dt.datetime(1, 1, 1) - _EPOCH).days
_END_DAY = (dt.datetime(9999, 12, 31) - _EPOCH).days + 1
_LEAST_FILETIME, _END_FILETIME = 0x0080000000000000, 0x0400000000000000
_UNITS = ((10**9, 0), (10**6, 3), (10**3, 6), (100, 7), (1, 9))  # (ns, digits), coarse to fine


@dataclass(frozen=True, slots=True)
class DateTime:
    """A DateTime value: the stored 8 bytes, as a double and as text.

    By definition the double counts days since 1899-12-30 00:00; no time zone is stored. Many
    applications store a FILETIME (100 ns since 1601) in the 64 bits instead; the catalog cannot
    tell, the text form can.
    """

    raw: bytes

    @property
    def days(self) -> float:
        """The stored double: days since 1899-12-30, for negatives with an absolute fraction."""
        value: float = struct.unpack("<d", self.raw)[0]
        return value

    @property
    def bits(self) -> int:
        """The stored 64 bits as a signed integer (a FILETIME, if the application put one there)."""
        return int.from_bytes(self.raw, "little", signed=True)

    @property
    def is_filetime(self) -> bool:
        """Whether the application put a FILETIME there, of 1829 to 2514.

        As doubles they are below 1e-288 days, so none is mistaken for an OLE date.
        """
        return _LEAST_FILETIME <= self.bits < _END_FILETIME

    @classmethod
    def of(cls, moment: dt.datetime) -> DateTime:
        """Return the stored form of a time; one with a time zone is stored in UTC."""
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        past = moment - _EPOCH
        part = past - dt.timedelta(days=past.days)
        days = past.days + part / dt.timedelta(days=1) * (-1 if past.days < 0 else 1)
        return cls(struct.pack("<d", days))

    def exact(self) -> str | int:
        """Return ISO text with the fewest digits that give back the same double, else `bits`.

        So the stored value can always be told from the result, and a FILETIME comes out as the
        integer that it is.
        """
        text = self._iso(self.days)
        return self.bits if text is None else text

    @staticmethod
    def _iso(days: float) -> str | None:
        if not math.isfinite(days) or not _LEAST_DAY <= days < _END_DAY:
            return None
        whole = math.trunc(days)
        numerator, denominator = abs(days - whole).as_integer_ratio()
        for unit, digits in _UNITS:
            steps = _DAY_NS // unit
            count = (2 * numerator * steps + denominator) // (2 * denominator)
            if count < steps and _join(whole, count, steps, days) == days:
                return _text(whole, count * unit, digits)
        return None

    def __str__(self) -> str:
        return str(self.exact())


def _join(whole: int, count: int, steps: int, days: float) -> float | None:
    """The double of `count` of `steps` parts of day `whole`; None where the sign would be lost."""
    if days < 0 or math.copysign(1.0, days) < 0:
        return (whole * steps - count) / steps if whole else None
    return (whole * steps + count) / steps


def _text(whole: int, ns: int, digits: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    moment = _EPOCH + dt.timedelta(days=whole, seconds=seconds)
    fraction = f".{rest:09d}"[: digits + 1] if digits else ""
    return moment.isoformat(timespec="seconds") + fraction


Scalar = bool | int | float | str | bytes | uuid.UUID | DateTime | dt.datetime | None
Value = Scalar | list[Scalar]


TEMPLATE_TAG = 1 << 31


def tag_of(fid: int, derived: bool) -> int:
    """Return the id of a column, told from that of its table by a bit if it is the template's.

    Ids of tagged columns begin anew in a derived table (6.8).
    """
    return fid | TEMPLATE_TAG if derived else fid


@dataclass(frozen=True, slots=True)
class ColumnDef:
    """One column of a table as the catalog has it.

    id: 1-127 fixed, 128-255 variable, from 256 tagged. size: most bytes, 0 for no limit. offset:
    place in the record, fixed columns only. derived: inherited from the template table.
    default_data: the default value as bytes in the form of a record (of a fixed column `padded`),
    None without a default.
    """

    name: str
    id: int
    coltyp: int
    size: int = 0
    flags: int = 0
    code_page: int = 0
    offset: int = 0
    derived: bool = False
    default_data: bytes | None = None

    @property
    def tag(self) -> int:
        """What no other column of the table has: see `tag_of`."""
        return tag_of(self.id, self.derived)

    @property
    def is_fixed(self) -> bool:
        """True for a fixed column."""
        return self.id < FIRST_VARIABLE

    @property
    def is_tagged(self) -> bool:
        """True for a tagged column."""
        return self.id >= FIRST_TAGGED

    @property
    def is_long(self) -> bool:
        """True for the long-value types."""
        return self.coltyp in LONG_TYPES

    @property
    def is_multi_valued(self) -> bool:
        """True if a row may have several values; they come as a list even when there is one."""
        return bool(self.flags & _MULTI_VALUED)

    @property
    def stored_size(self) -> int:
        """Bytes of each value, 0 where values differ in size."""
        return type_size(self.coltyp) or (self.size if self.is_fixed else 0)

    @property
    def type_name(self) -> str:
        """Name of the column type."""
        known = self.coltyp in Coltyp._value2member_map_
        return Coltyp(self.coltyp).title if known else str(self.coltyp)


def decode_value(column: ColumnDef, data: bytes) -> Scalar:
    """Return the Python value of the bytes of one value. Raises ValueError if the size is wrong."""
    coltyp, size = column.coltyp, type_size(column.coltyp)
    if size:
        if not data:
            return None
        if len(data) != size:
            raise ValueError(f"a {column.type_name} value of {len(data)} bytes")
    if coltyp in NUMBER_CODES:
        number: int | float = struct.unpack("<" + NUMBER_CODES[coltyp], data)[0]
        return number
    if coltyp == Coltyp.BIT:
        return data != b"\0"
    if coltyp == Coltyp.DATE_TIME:
        return DateTime(data)
    if coltyp == Coltyp.GUID:
        return uuid.UUID(bytes_le=data)
    if coltyp in TEXT_TYPES:
        return decode_text(data, column.code_page)
    return data


def encode_value(column: ColumnDef, value: Scalar) -> bytes:
    """Return the bytes of one value, the inverse of `decode_value`. Raises ValueError."""
    data, size = _encode(column, value), type_size(column.coltyp)
    if size and len(data) != size:
        raise ValueError(f"{column.name}: no {column.type_name} value: {value!r}")
    return data


def _encode(column: ColumnDef, value: Scalar) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, DateTime):
        return value.raw
    if isinstance(value, dt.datetime) and column.coltyp == Coltyp.DATE_TIME:
        return DateTime.of(value).raw
    if isinstance(value, uuid.UUID):
        return value.bytes_le
    if isinstance(value, str) and column.coltyp in TEXT_TYPES:
        return encode_text(value, column.code_page)
    if column.coltyp == Coltyp.BIT and not isinstance(value, str):
        return b"\xff" if value else b"\0"
    code = NUMBER_CODES.get(column.coltyp)
    if code is None or value is None:
        raise ValueError(f"{column.name}: no {column.type_name} value: {value!r}")
    try:
        return struct.pack("<" + code, value)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{column.name}: {error}") from error


def padded(column: ColumnDef, data: bytes) -> bytes:
    """Return the bytes of a fixed column at its full size; text is filled up with blanks (7.2)."""
    size = column.stored_size
    if column.coltyp not in TEXT_TYPES:
        return data.ljust(size, b"\0")
    if column.code_page == UTF16:
        return data + (b" \0" * size)[len(data) : size]
    return data.ljust(size, b" ")


UTF16 = 1200
_ANSI = (0, 1252)
# Windows gives the five bytes that 1252 leaves undefined the control characters of the same number.
_CP1252 = "".join(
    bytes([b]).decode("cp1252") if b not in b"\x81\x8d\x8f\x90\x9d" else chr(b) for b in range(256)
)
_CP1252_BACK = {ord(char): b for b, char in enumerate(_CP1252)}


def _codec(code_page: int) -> str | None:
    name = {20127: "ascii", 65001: "utf-8"}.get(code_page, f"cp{code_page}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


def decode_text(data: bytes, code_page: int) -> str | bytes:
    """Return text in `code_page` (0 means 1252); the bytes themselves where it is not valid."""
    if code_page in _ANSI:
        return codecs.charmap_decode(data, "strict", _CP1252)[0]
    codec = "utf-16-le" if code_page == UTF16 else _codec(code_page)
    if codec is None:
        return data
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return data


def encode_text(text: str, code_page: int) -> bytes:
    """Return the bytes of `text` in `code_page`. Raises ValueError."""
    if code_page in _ANSI:
        return codecs.charmap_encode(text, "strict", _CP1252_BACK)[0]
    codec = "utf-16-le" if code_page == UTF16 else _codec(code_page)
    if codec is None:
        raise ValueError(f"unknown code page {code_page}")
    return text.encode(codec)
