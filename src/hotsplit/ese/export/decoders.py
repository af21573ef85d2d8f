"""Decoders: what the values of a column mean to the application that wrote them.

A profile names a decoder for a column. Each takes a value as rows have it and returns one of the
same kinds; a value that it does not understand stays as it is, so nothing is lost or invented.

| name | stored | becomes |
|---|---|---|
| filetime | a number, or 8 bytes in either order, of 100 ns since 1601 | time in UTC |
| ole | DateTime (days since 1899-12-30) in UTC | time in UTC |
| seconds1601, unix | seconds since 1601, since 1970 | time in UTC |
| sid, sid-be | a security identifier; -be with the last part big-endian | S-1-5-... |
| sid-utf16 | a security identifier, or text in UTF-16 | S-1-5-..., text |
| guid | 16 bytes | GUID |
| utf16, utf8 | bytes of text | text |
| text | text filled up with zeros | text without them |
| ip, ip-int | 4 or 16 bytes; a number | IP address |
| mac | bytes | xx:xx:xx:xx:xx:xx |
| hex | a number | 0x and its digits, of a negative one those of its 4 or 8 bytes |
| flags, enum | a number | names from the profile |
| secret | what only a key can open | the bytes as stored, marked as encrypted |
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hotsplit import _native
from hotsplit.ese.export.times import from_filetime, from_seconds_since_1601, from_unix
from hotsplit.ese.format.columns import Coltyp, ColumnDef, DateTime, Scalar, Value
from hotsplit.ese.read.arrow import plain_array
from hotsplit.ese.read.batch import Buffers, element_values

_kernel = _native.load("batch")

_Function = Callable[[Any], Any]
_ORDERS: tuple[Literal["little"], Literal["big"]] = ("little", "big")
_LIKELY = (119_600_064_000_000_000, 157_469_184_000_000_000)  # FILETIMEs of 1980 and 2100
TIMES = ("filetime", "ole", "seconds1601", "unix")


def _filetime(value: Any) -> Any:
    if isinstance(value, DateTime):
        value = value.bits
    elif isinstance(value, bytes) and len(value) == 8:
        value = _eight_bytes(value)
    return from_filetime(value) if isinstance(value, int) else value


def _eight_bytes(data: bytes) -> int:
    """Return the FILETIME in eight bytes: little-endian, but as old Windows Search has it, if only
    the other order gives a time between 1980 and 2100.
    """
    little, big = (int.from_bytes(data, order) for order in _ORDERS)
    return (
        big if not _LIKELY[0] <= little < _LIKELY[1] and _LIKELY[0] <= big < _LIKELY[1] else little
    )


def _ole(value: Any) -> Any:
    if not isinstance(value, DateTime):
        return value
    exact = value.exact()
    return exact + "Z" if isinstance(exact, str) else exact


def _seconds_1601(value: Any) -> Any:
    return from_seconds_since_1601(value) if isinstance(value, int) else value


def _unix(value: Any) -> Any:
    return from_unix(value) if isinstance(value, int) else value


def sid_text(data: bytes, *, big: bool = False) -> str | None:
    """Return the text of a security identifier, None if the bytes are none.

    big: the last part is big-endian, as Active Directory stores it.

    Source: [MS-DTYP] 2.4.2.
    """
    if len(data) < 8 or data[0] != 1 or len(data) != 8 + 4 * data[1] or data[1] > 15:
        return None
    parts = [int.from_bytes(data[at : at + 4], "little") for at in range(8, len(data), 4)]
    if big and parts:
        parts[-1] = int.from_bytes(data[-4:], "big")
    authority = int.from_bytes(data[2:8], "big")
    return "-".join(["S", "1", str(authority), *map(str, parts)])


def _sid(value: Any) -> Any:
    return (sid_text(value) or value) if isinstance(value, bytes) else value


def _sid_big(value: Any) -> Any:
    return (sid_text(value, big=True) or value) if isinstance(value, bytes) else value


def _guid(value: Any) -> Any:
    fits = isinstance(value, bytes) and len(value) == 16
    return uuid.UUID(bytes_le=value) if fits else value


def _text_in(codec: str) -> _Function:
    def decode(value: Any) -> Any:
        if not isinstance(value, bytes):
            return value
        try:
            return value.decode(codec).rstrip("\0")
        except UnicodeDecodeError:
            return value

    return decode


_utf16 = _text_in("utf-16-le")


def _sid_or_text(value: Any) -> Any:
    sid = _sid(value)
    return sid if isinstance(sid, str) else _utf16(value)


def _ip(value: Any) -> Any:
    if isinstance(value, bytes) and len(value) >= 4 and not any(value[4:]):
        value = value[:4]
    fits = isinstance(value, bytes) and len(value) in (4, 16)
    return str(ipaddress.ip_address(value)) if fits else value


def _ip_number(value: Any) -> Any:
    if not isinstance(value, int):
        return value
    return str(ipaddress.IPv4Address(value & 0xFFFFFFFF))


def _mac(value: Any) -> Any:
    return value.hex(":") if isinstance(value, bytes) and value else value


def _hex(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return hex(_unsigned(value)) if is_number else value


def _unsigned(number: int) -> int:
    """Return the number that is not negative and has the same 4 bytes, or 8 if it needs them."""
    bits = 32 if number >= -(1 << 31) else 64
    return number & (1 << bits) - 1 if number < 0 else number


def _stripped(value: Any) -> Any:
    return value.rstrip("\0") if isinstance(value, str) else value


def _same(value: Any) -> Any:
    return value


_SIMPLE: dict[str, _Function] = {
    "filetime": _filetime,
    "ole": _ole,
    "seconds1601": _seconds_1601,
    "unix": _unix,
    "sid": _sid,
    "sid-be": _sid_big,
    "sid-utf16": _sid_or_text,
    "guid": _guid,
    "utf16": _text_in("utf-16-le"),
    "utf8": _text_in("utf-8"),
    "text": _stripped,
    "ip": _ip,
    "ip-int": _ip_number,
    "mac": _mac,
    "hex": _hex,
    "secret": _same,
}
NAMES = (*_SIMPLE, "flags", "enum")


@dataclass(frozen=True)
class Decoder:
    """A decoder by name. values: what numbers mean, for flags and enum."""

    name: str
    values: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"no decoder is named {self.name!r}; there are {', '.join(NAMES)}")

    @property
    def is_time(self) -> bool:
        """True if values become times in UTC."""
        return self.name in TIMES

    def __call__(self, value: Value) -> Value:
        """Return what a value means; of several values, what each does."""
        if isinstance(value, list):
            return [self._one(one) for one in value]
        return self._one(value)

    def _one(self, value: Scalar) -> Scalar:
        if value is None:
            return None
        if self.name == "enum":
            if not isinstance(value, int):
                return value
            return self.values.get(value, self.values.get(_unsigned(value), value))
        if self.name == "flags":
            return self._flags(value) if isinstance(value, int) else value
        decoded: Scalar = _SIMPLE[self.name](value)
        return decoded

    def _flags(self, number: int) -> str:
        """Return the names of the bits that are set; what has no name as a hexadecimal number."""
        number = _unsigned(number)
        named = [name for bit, name in self.values.items() if bit and number & bit == bit]
        rest = number
        for bit in self.values:
            rest &= ~bit
        if rest or not (named or number):
            named.append(hex(rest) if rest else self.values.get(0, "0"))
        return "|".join(named)

    # Columns of batches

    def arrow_type(self, pa: Any, column: ColumnDef) -> Any:
        """Return the Arrow type of decoded elements, None if they keep theirs."""
        if self.name == "secret":
            return None
        if self.name == "guid":
            return pa.uuid()
        unit = _ARROW_UNITS.get(self.name)
        return pa.timestamp(unit, "UTC") if unit else pa.string()

    def arrow_array(self, pa: Any, column: ColumnDef, buffers: Buffers) -> Any:
        """Return the elements decoded as an Arrow array, None if they stay as they are."""
        kind = self.arrow_type(pa, column)
        if kind is None:
            return None
        form = _FORMS.get(self.name)
        if form is not None and column.stored_size == 8 and column.coltyp != Coltyp.BINARY:
            data, validity, _ = _kernel.convert_times(buffers.data, buffers.validity, form)
            return plain_array(pa, kind, buffers._replace(data=data, validity=validity))
        stored = element_values(column, buffers)
        known = {value: self._element(value) for value in set(stored)}
        if self.name == "guid":
            values = [known[value] for value in stored]
            raw = [v.bytes if isinstance(v, uuid.UUID) else None for v in values]
            return pa.ExtensionArray.from_storage(kind, pa.array(raw, pa.binary(16)))
        return pa.array([known[value] for value in stored], kind)

    def _element(self, value: Scalar) -> Any:
        """Return what goes into an Arrow array: a number of a time, else text."""
        if value is None:
            return None
        if self.is_time:
            return _arrow_time(self.name, value)
        decoded = self._one(value)
        if decoded is None or isinstance(decoded, str | uuid.UUID):
            return decoded
        return decoded.hex() if isinstance(decoded, bytes) else str(decoded)


_ARROW_UNITS = {"filetime": "ns", "ole": "us", "seconds1601": "s", "unix": "s"}
_FORMS = {"filetime": _kernel.FILETIME, "ole": _kernel.OLE}


def _arrow_time(name: str, value: Any) -> int | None:
    """Return the number of a timestamp of the decoder's unit, None where there is none."""
    if name == "filetime" and isinstance(value, bytes) and len(value) == 8:
        value = _eight_bytes(value)
    if not isinstance(value, int) or value == 0 or _SIMPLE[name](value) is None:
        return None
    if name == "filetime":
        ns = (value - 116_444_736_000_000_000) * 100
        return ns if abs(ns) < 2**63 else None
    return value - 11_644_473_600 if name == "seconds1601" else value
