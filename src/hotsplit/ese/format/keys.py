"""Index keys: columns made into bytes that compare as the values do.

Source: format specification 10.1 to 10.3 (segments), 10.4 (Unicode text).
"""

from __future__ import annotations

import struct
from functools import lru_cache

from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag
from hotsplit.ese.format.columns import TEXT_TYPES, UTF16, Coltyp, ColumnDef

_DATA, _NULL, _NULL_HIGH, _EMPTY = b"\x7f", b"\0", b"\xc0", b"\x40"
_SIGNED = (Coltyp.SHORT, Coltyp.LONG, Coltyp.CURRENCY, Coltyp.LONG_LONG)
_FLOATS = (Coltyp.IEEE_SINGLE, Coltyp.IEEE_DOUBLE, Coltyp.DATE_TIME)
_GUID_ORDER = (10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3)
_DOT_NET_ORDER = (3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15)
_GROUP, _WHOLE_GROUP = 8, 9
_UPPER = bytes(c - 32 if 0x61 <= c <= 0x7A else c for c in range(256))
_COMPLEMENT = bytes(0xFF - c for c in range(256))
_NO_LIMIT = 1 << 16
_TEXT_MOST = 256  # bytes of text that a key of the default size is made of

_SORT_KEY, _UPPER_CASE = 0x400, 0x200
_IGNORE_NONSPACE, _IGNORE_SYMBOLS, _STRING_SORT = 0x2, 0x4, 0x1000
_IGNORE_CASE = 0x1 | 0x10
_LOCALES = ("", "en-US", 0, 0x409, 0x7F, 0x400)


class KeyUnknown(ValueError):
    """The key cannot be made here: it needs sort tables of Windows."""


def build_key(columns: list[ColumnDef], index: IndexDef, values: list[bytes | None]) -> bytes:
    """Return the key of stored values, None being NULL; `columns` are those of the segments.

    Fewer values than segments make the start of a key. Raises KeyUnknown.
    """
    key = b""
    most = index.key_most or 255
    for column, part, value in zip(columns, index.key, values, strict=False):
        room = most - len(key)
        if room <= 0:
            break
        found = segment(column, value, index, room)[:room]
        key += found.translate(_COMPLEMENT) if part.is_descending else found
    return key


def segment(column: ColumnDef, data: bytes | None, index: IndexDef, room: int) -> bytes:
    """Return the ascending segment of one value; room: bytes left in the key. Raises KeyUnknown."""
    if data is None:
        return _NULL_HIGH if index.flags & IndexFlag.SORT_NULLS_HIGH else _NULL
    if not data and not column.stored_size:
        return _EMPTY
    limit = min(room, index.var_segment_most or _NO_LIMIT)
    if column.coltyp in TEXT_TYPES:
        cut = data[:_TEXT_MOST] if (index.key_most or 255) <= 255 else data
        if column.code_page != UTF16:
            return _ansi(cut, limit)
        return (_DATA + unicode_key(cut.decode("utf-16-le", "surrogatepass"), index))[:limit]
    if column.coltyp in (Coltyp.BINARY, Coltyp.LONG_BINARY):
        return (_DATA + data)[:limit] if column.is_fixed else _binary(data, limit)
    return _DATA + _number(column.coltyp, data, index.flags)


def _number(coltyp: int, data: bytes, flags: int) -> bytes:
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
    """Groups of 8 bytes, each with a count; cut where there is no room (10.3)."""
    whole = 1 + _WHOLE_GROUP * -(-len(data) // _GROUP)
    out = bytearray(_DATA)
    for at in range(0, len(data), _GROUP):
        part = data[at : at + _GROUP]
        more = at + _GROUP < len(data) or (whole > room and len(part) == _GROUP)
        out += part.ljust(_GROUP, b"\0") + bytes([_WHOLE_GROUP if more else len(part)])
        if len(out) >= room:
            break
    return bytes(out[:room])


def _ansi(data: bytes, room: int) -> bytes:
    source = data.split(b"\0", 1)[0]
    whole = source.translate(_UPPER) + b"\0"
    room -= 1
    if len(whole) <= room:
        return _DATA + whole
    cut = source[: room - 1].translate(_UPPER)
    return _DATA + cut + struct.pack("B", source[room - 1] - 0x20 & 0xFF)


# Unicode text: what the weights of ASCII suffice for


def covers(index: IndexDef) -> bool:
    """Say whether keys of Unicode text can be made for the locale and flags of an index.

    Even then text with characters beyond ASCII cannot.
    """
    return index.locale in _LOCALES and bool(index.lcmap_flags & (_SORT_KEY | _UPPER_CASE))


def unicode_key(text: str, index: IndexDef) -> bytes:
    """Return the body of the segment of Unicode text, as LCMapString makes it.

    Weights are those of the sort tables of Windows Vista and later (NLS 6.x). Raises KeyUnknown for
    other locales and for characters beyond ASCII, whose weights are in tables of Windows.
    """
    if not covers(index):
        raise KeyUnknown(f"the sort order of locale {index.locale!r} is not known here")
    if not index.lcmap_flags & _SORT_KEY:
        if not text.isascii():
            raise KeyUnknown("only ASCII text can be made upper-case as Windows does it")
        return text.split("\0", 1)[0].upper().encode("utf-16-be") + b"\0\0"
    return _sort_key(text, index.lcmap_flags)


@lru_cache(maxsize=4096)
def _sort_key(text: str, flags: int) -> bytes:
    primary, cases, special = bytearray(), bytearray(), bytearray()
    case_bit = 0 if flags & _IGNORE_CASE else 0x10
    for char in text:
        if char == "\0":
            continue
        if char in _SPECIAL and not flags & _STRING_SORT:
            if not flags & _IGNORE_SYMBOLS:
                place = 0xFFFF - len(primary) // 2
                special += struct.pack(">H", place) + bytes([_SPECIAL[char], 0x12])
            continue
        weight = _SYMBOLS.get(char) or _WEIGHTS.get(char.lower())
        if weight is None:
            raise KeyUnknown(f"the weight of the character {char!r} is not known here")
        if flags & _IGNORE_SYMBOLS and weight[0] < 0x0D:
            continue
        primary += weight
        cases.append(2 | (case_bit if char.isupper() else 0))
    return bytes(primary) + b"\1\1" + bytes(cases).rstrip(b"\2") + b"\1\1" + special + b"\0"


# A word of hexadecimal digits a character: script and alphabetic weight (10.4).
_LETTERS = (
    "0702 071c 071d 071f 0721 0723 0725 0727 072a 072d 0803 072f 0733 0735 "
    "0d03 0d1a 0d1c 0d1e 0d20 0d22 0d24 0d26 0d28 0d2a 0737 073a 080e 0812 0814 073c 073e "
    "0e02 0e09 0e0a 0e1a 0e21 0e23 0e25 0e2c 0e32 0e35 0e36 0e48 0e51 0e70 0e7c 0e7e 0e89 0e8a "
    "0e91 0e99 0e9f 0ea2 0ea4 0ea6 0ea7 0ea9 073f 0741 0742 0743 0744 0748 074a 074c 074e 0750"
)
_CHARACTERS = ' !"#$%&()*+,./0123456789:;<=>?@abcdefghijklmnopqrstuvwxyz[\\]^_`{|}~'
_WEIGHTS = dict(zip(_CHARACTERS, map(bytes.fromhex, _LETTERS.split()), strict=True))
_SPECIAL = {"'": 0x80, "-": 0x82}
_SYMBOLS = {"'": b"\x06\x80", "-": b"\x06\x82"}
