"""The page before a split or merge, as Split2 and Merge2 records carry it.

Source: log specification 4.2 (below the tables).
"""

from __future__ import annotations

import struct

from hotsplit.errors import HotsplitError, Jet, LogDamaged
from hotsplit.ese.format.basics import page_header_size
from hotsplit.ese.format.compression import decompress
from hotsplit.ese.format.logrecord import LogRecord

DEHYDRATED = 1
COMPRESSED = 2

_DBTIME = struct.Struct("<Q")
_GAP = struct.Struct("<HH")
_FREE = struct.Struct("<H")
_DBTIME_AT, _FREE_AT, _GAP_AT = 8, 28, 32
_TAG_COUNT = 0x0FFF
_TAG_SIZE = 4


def before_image(record: LogRecord, page_size: int) -> bytes | None:
    """Return the page as it was before a SPLIT2 or MERGE2 record; None if it carries none.

    The image's own dbtime is that of after the operation: it is set back here. The checksum field
    is stale. Raises LogDamaged (-1852).
    """
    data: bytes = record.image
    if not data:
        return None
    flags: int = record.image_flags
    if flags & COMPRESSED:
        try:
            data = decompress(data, page_size)
        except HotsplitError as error:
            raise _bad(f"The page image cannot be decompressed: {error.message}") from error
    if flags & DEHYDRATED:
        data = rehydrate(data, page_size)
    if len(data) != page_size:
        raise _bad(f"The page image has {len(data)} bytes, the page size is {page_size}")
    return data[:_DBTIME_AT] + _DBTIME.pack(record.dbtime_before) + data[_DBTIME_AT + 8 :]


def dehydrate(page: bytes) -> bytes:
    """Cut the free gap between data and tags out of a page; a page without a gap stays as it is."""
    kept, tags = _kept(page, len(page))
    if kept >= len(page):
        return page
    return _with_free(page[: kept - tags], kept - len(page)) + page[len(page) - tags :]


def rehydrate(data: bytes, page_size: int) -> bytes:
    """Put the free gap back, as zeros, and count it as free again.

    Raises LogDamaged (-1852) if the lengths do not fit.
    """
    if len(data) == page_size:
        return data
    kept, tags = _kept(data, page_size)
    if kept != len(data) or kept > page_size:
        raise _bad(f"The page image has {len(data)} bytes, its header says {kept}")
    gap, split = page_size - kept, kept - tags
    return _with_free(data[:split], gap) + bytes(gap) + data[split:]


def _with_free(data: bytes, gap: int) -> bytes:
    """Change the header's count of free bytes: an image counts without the gap."""
    (free,) = _FREE.unpack_from(data, _FREE_AT)
    return data[:_FREE_AT] + _FREE.pack((free + gap) & 0xFFFF) + data[_FREE_AT + 2 :]


def _kept(data: bytes, page_size: int) -> tuple[int, int]:
    """Return the length without the gap and the length of the tags at its end."""
    header = page_header_size(page_size)
    if len(data) < header:
        raise _bad(f"The page image has only {len(data)} bytes")
    used, tag_state = _GAP.unpack_from(data, _GAP_AT)
    tags = _TAG_SIZE * (tag_state & _TAG_COUNT)
    return (header + used + tags + 1) & ~1, tags


def _bad(message: str) -> LogDamaged:
    return LogDamaged(message, jet=Jet.errLogCorrupted)
