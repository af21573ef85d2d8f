"""Keys: the columns of a row made into bytes that compare as the values do.

Source: format specification 10.1 to 10.3.
"""

from __future__ import annotations

import struct

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.format.catalogschema import IndexFlag
from hotsplit.ese.format.columns import TEXT_TYPES, UTF16, Coltyp, ColumnDef

_DATA, _NULL, _NULL_HIGH, _EMPTY = b"\x7f", b"\0", b"\xc0", b"\x40"
_SIGNED = (Coltyp.SHORT, Coltyp.LONG, Coltyp.CURRENCY, Coltyp.LONG_LONG)
_FLOATS = (Coltyp.IEEE_SINGLE, Coltyp.IEEE_DOUBLE, Coltyp.DATE_TIME)
_GUID_ORDER = (10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3)
_DOT_NET_ORDER = (3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15)
_GROUP = 8
_FULL_GROUP = 9
_UPPER = bytes(c - 32 if 0x61 <= c <= 0x7A else c for c in range(256))
_COMPLEMENT = bytes(0xFF - c for c in range(256))


def segment(column: ColumnDef, data: bytes | None, flags: int, room: int, most: int) -> bytes:
    """Return the segment of one column.

    data: the value as stored, None for NULL. flags: of the index. room: bytes left in the key;
    most: bytes that a variable segment may have.
    """
    if data is None:
        return _NULL_HIGH if flags & IndexFlag.SORT_NULLS_HIGH else _NULL
    if not data and not column.stored_size:
        return _EMPTY
    if column.coltyp in TEXT_TYPES:
        return _text(column, data, min(room, most))
    if column.coltyp in (Coltyp.BINARY, Coltyp.LONG_BINARY):
        if column.is_fixed:
            return (_DATA + data)[: min(room, most)]
        return _binary(data, min(room, most))
    return _DATA + _fixed(column.coltyp, data, flags)


def descending(part: bytes) -> bytes:
    """Return a finished segment so that it sorts the other way round."""
    return part.translate(_COMPLEMENT)


def _fixed(coltyp: int, data: bytes, flags: int) -> bytes:
    if coltyp == Coltyp.BIT:
        return b"\xff" if data != b"\0" else b"\0"
    if coltyp == Coltyp.GUID:
        order = _DOT_NET_ORDER if flags & IndexFlag.DOT_NET_GUID else _GUID_ORDER
        return bytes(data[i] for i in order)
    big = data[::-1]
    if coltyp in _SIGNED:
        return bytes([big[0] ^ 0x80]) + big[1:]
    if coltyp in _FLOATS:
        return big.translate(_COMPLEMENT) if big[0] & 0x80 else bytes([big[0] ^ 0x80]) + big[1:]
    return big


def _binary(data: bytes, room: int) -> bytes:
    groups = -(-len(data) // _GROUP)
    whole = 1 + _FULL_GROUP * groups
    out = bytearray(_DATA)
    limit = min(whole, room)
    for at in range(0, len(data), _GROUP):
        part = data[at : at + _GROUP]
        last = at + _GROUP >= len(data)
        count = _FULL_GROUP if not last or (whole > room and len(part) == _GROUP) else len(part)
        out += part.ljust(_GROUP, b"\0") + bytes([count])
        if len(out) >= limit:
            break
    return bytes(out[:limit])


def _text(column: ColumnDef, data: bytes, room: int) -> bytes:
    if column.code_page == UTF16:
        return (_DATA + sort_key(data.decode("utf-16-le", "surrogatepass")))[:room]
    source = data.split(b"\0", 1)[0]
    whole = source.translate(_UPPER) + b"\0"
    room -= 1
    if len(whole) <= room:
        return _DATA + whole
    cut = source[: room - 1].translate(_UPPER)
    return _DATA + cut + struct.pack("B", source[room - 1] - 0x20 & 0xFF)


# Weights of ASCII for a sort that ignores case, kana and width (LCMapFlags 0x30401).
_WEIGHTS = dict(
    zip(
        ' !"#$%&()*+,./0123456789:;<=>?@abcdefghijklmnopqrstuvwxyz[\\]^_`{|}~',
        [
            "0702",
            "071c",
            "071d",
            "071f",
            "0721",
            "0723",
            "0725",
            "0727",
            "072a",
            "072d",
            "0803",
            "072f",
            "0733",
            "0735",
            "0d03",
            "0d1a",
            "0d1c",
            "0d1e",
            "0d20",
            "0d22",
            "0d24",
            "0d26",
            "0d28",
            "0d2a",
            "0737",
            "073a",
            "080e",
            "0812",
            "0814",
            "073c",
            "073e",
            "0e02",
            "0e09",
            "0e0a",
            "0e1a",
            "0e21",
            "0e23",
            "0e25",
            "0e2c",
            "0e32",
            "0e35",
            "0e36",
            "0e48",
            "0e51",
            "0e70",
            "0e7c",
            "0e7e",
            "0e89",
            "0e8a",
            "0e91",
            "0e99",
            "0e9f",
            "0ea2",
            "0ea4",
            "0ea6",
            "0ea7",
            "0ea9",
            "073f",
            "0741",
            "0742",
            "0743",
            "0744",
            "0748",
            "074a",
            "074c",
            "074e",
            "0750",
        ],
        strict=True,
    )
)
_SPECIAL = {"'": "80", "-": "82"}


def sort_key(text: str) -> bytes:
    """Return the sort key of ASCII text. Raises InvalidUse (-602) for other characters.

    The weights of all other characters are in a table that is not part of this program.
    """
    primary, special = bytearray(), bytearray()
    for char in text.lower():
        weight = _WEIGHTS.get(char)
        if weight is not None:
            primary += bytes.fromhex(weight)
        elif char in _SPECIAL:
            place = 0xFFFF - len(primary) // 2
            special += struct.pack(">H", place) + bytes.fromhex(_SPECIAL[char]) + b"\x12"
        elif char != "\0":
            raise InvalidUse(
                f"An index over Unicode text cannot take the character {char!r}",
                jet=Jet.errUnicodeNormalizationNotSupported,
            )
    return bytes(primary) + b"\1\1\1\1" + bytes(special) + b"\0"
