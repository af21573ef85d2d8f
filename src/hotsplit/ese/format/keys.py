"""Index keys: columns made into bytes that compare as the values do.

Source: format specification 10.1 to 10.3 (segments), 10.4 (Unicode text).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag
from hotsplit.ese.format.collation import Collation, KeyUnknown, MapFlag, sort_key
from hotsplit.ese.format.columns import TEXT_TYPES, UTF16, Coltyp, ColumnDef
from hotsplit.ese.format.sortlocales import sort_of
from hotsplit.ese.format.sorttable import WINDOWS_7, WINDOWS_8, BuiltIn, sorts_for

_DATA, _NULL, _NULL_HIGH, _EMPTY = b"\x7f", b"\0", b"\xc0", b"\x40"
_SIGNED = (Coltyp.SHORT, Coltyp.LONG, Coltyp.CURRENCY, Coltyp.LONG_LONG)
_FLOATS = (Coltyp.IEEE_SINGLE, Coltyp.IEEE_DOUBLE, Coltyp.DATE_TIME)
_GUID_ORDER = (10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3)
_DOT_NET_ORDER = (3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15)
_GROUP, _WHOLE_GROUP = 8, 9
_UPPER = bytes(c - 32 if 0x61 <= c <= 0x7A else c for c in range(256))
_COMPLEMENT = bytes(0xFF - c for c in range(256))
_NO_LIMIT = 1 << 16
_DEFAULT_MOST = 255
_VISTA = 0x50000  # NLS version, of Windows Server 2008, too
_TEXT_MOST = 256  # bytes of text that a key of the default size is made of


def record_key(columns: list[ColumnDef], index: IndexDef, values: list[bytes | None]) -> bytes:
    """Return the key of the values of a record, None being NULL.

    columns: those of the segments. Fewer values than segments make the start of a key.
    The engine takes no more bytes of a value than a key has, so of Unicode text 127 characters for
    keys of the default size. (Of what is searched for it takes 128, and may miss a long text so.)
    For longer keys it takes twice as much as long as the text might fill more of its segment.
    Raises KeyUnknown.
    """
    read = most = index.key_most or _DEFAULT_MOST
    while True:
        cut = [value and value[:read] for value in values]
        parts = list(_parts(columns, index, cut))
        used = zip(columns, cut, parts, strict=False)
        wanting = any(
            _is_unicode(column) and value is not None and len(value) == read and len(part) < room
            for column, value, (part, room) in used
        )
        if most == _DEFAULT_MOST or not wanting:
            return b"".join(part for part, _ in parts)
        read *= 2


def _parts(
    columns: list[ColumnDef], index: IndexDef, values: list[bytes | None]
) -> Iterator[tuple[bytes, int]]:
    """Yield the segments of a key and how long each could be."""
    left = index.key_most or _DEFAULT_MOST
    for column, part, value in zip(columns, index.key, values, strict=False):
        if left <= 0:
            break
        found = segment(column, value, index, left)[:left]
        yield descending(found) if part.is_descending else found, _limit(index, left)
        left -= len(found)


def _limit(index: IndexDef, room: int) -> int:
    return min(room, index.var_segment_most or _NO_LIMIT)


def _is_unicode(column: ColumnDef) -> bool:
    return column.coltyp in TEXT_TYPES and column.code_page == UTF16


def descending(part: bytes) -> bytes:
    """Return a finished segment so that it sorts the other way round."""
    return part.translate(_COMPLEMENT)


def segment(column: ColumnDef, data: bytes | None, index: IndexDef, room: int) -> bytes:
    """Return the ascending segment of one value; room: bytes left in the key. Raises KeyUnknown."""
    if data is None:
        return _NULL_HIGH if index.flags & IndexFlag.SORT_NULLS_HIGH else _NULL
    if not data and not column.stored_size:
        return _EMPTY
    limit = _limit(index, room)
    if column.coltyp in TEXT_TYPES:
        cut = data[:_TEXT_MOST] if (index.key_most or _DEFAULT_MOST) <= _DEFAULT_MOST else data
        if not _is_unicode(column):
            return _ansi(cut, limit)
        return (_DATA + unicode_key(_utf16(cut), index))[:limit]
    if column.coltyp in (Coltyp.BINARY, Coltyp.LONG_BINARY):
        return (_DATA + data)[:limit] if column.is_fixed else _binary(data, limit)
    return _DATA + _number(column.coltyp, data, index.flags)


def _utf16(data: bytes) -> str:
    return data[: len(data) & ~1].decode("utf-16-le", "surrogatepass")


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


# Unicode text


def collation_of(index: IndexDef) -> Collation:
    """Return the order of the Unicode text of an index. Raises KeyUnknown.

    Even then a key is unknown if the text has characters whose weights are not.
    """
    if not index.lcmap_flags & (MapFlag.SORT_KEY | MapFlag.UPPER_CASE):
        raise KeyUnknown(f"keys with the flags {index.lcmap_flags:#x} are not known here")
    sorts, sort = sorts_for(index.sort_version), sort_of(index)
    found = sorts.collation(sort)
    if found is None:
        raise KeyUnknown(f"the sort order of locale {index.locale!r} is not known here")
    return found


def unicode_key(text: str, index: IndexDef) -> bytes:
    """Return the body of the segment of Unicode text, as LCMapString makes it.

    Weights are those of the sort table in use (`hotsplit.ese.format.sorttable`): of the one that
    is built in those of Windows 8 and later, of which ASCII is the same in Windows 7, and all of
    it but the digits in Windows Vista. Raises KeyUnknown for everything else.
    """
    collation = collation_of(index)
    if not index.lcmap_flags & MapFlag.SORT_KEY:
        if not text.isascii():
            raise KeyUnknown("only ASCII text can be made upper-case as Windows does it")
        return text.split("\0", 1)[0].upper().encode("utf-16-be") + b"\0\0"
    version = index.sort_version
    if isinstance(sorts_for(version), BuiltIn) and not _is_old_enough(text, version):
        raise KeyUnknown(f"the weights of NLS version {version:#x} are not known here")
    return _sort_key(text, index.lcmap_flags, collation)


def _is_old_enough(text: str, version: int) -> bool:
    """Say whether characters weigh in this version what they weigh in Windows 8."""
    if version >= WINDOWS_8:
        return True
    if not text.isascii() or 0 < version < _VISTA:
        return False
    return not version or version >= WINDOWS_7 or not any(map(str.isdigit, text))


_sort_key = lru_cache(maxsize=4096)(sort_key)
