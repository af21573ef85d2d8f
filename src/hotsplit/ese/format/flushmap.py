"""The flush map (``.jfm``): how often, modulo 3, each database page was written.

A header of 8192 bytes, then pages of 8192 bytes with two bits for each database page. A database
page whose own flush type differs from the map's is not the one written last: a lost flush.
Source: format specification 11.3.
"""

from __future__ import annotations

from enum import IntEnum

from hotsplit.errors import HeaderDamaged, Jet, NotEseFile, UnsupportedVersion
from hotsplit.ese.format.basics import Signature
from hotsplit.ese.format.checksum import correct_segment, header_checksum, segment_checksum
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.layout import I32, U32, U64, Layout, Sign, Time

PAGE_SIZE = 8192
PAGE_HEADER = 64
PER_PAGE = 4 * (PAGE_SIZE - PAGE_HEADER)
"""Database pages that one map page covers."""

FILE_TYPE = 7
CLEAN = 1
"""Flag of a map that was written in full when the database was closed."""

VERSION = 3
"""Version of maps that are made here; 4 is read, too."""

_VERSIONS = (VERSION, 4)
CHECKSUM_FLAG = 0x2000
"""Flag of pages whose checksum is an ECC."""

# Four flush types a byte, the first one in the highest bits.
_UNPACKED = [bytes(value >> shift & 3 for shift in (6, 4, 2, 0)) for value in range(256)]


class FlushType(IntEnum):
    """Flush type of a page; each write moves it on: 1, 2, 3, 1, ..."""

    UNKNOWN = 0
    FIRST = 1
    SECOND = 2
    THIRD = 3


class FlushMapHeader(Layout):
    """First page of the file. `raw` is the whole page."""

    SIZE = 671
    checksum = U32(0)
    version = U32(4)
    update_major = U32(8)
    update_minor = U32(12)
    flags = U32(36)
    create_time = Time(40)
    attach_time = Time(48)
    detach_time = Time(56)
    gen_min_required = U32(64)
    gen_min_required_target = U32(68)
    full_flush_started = Time(72)
    full_flush_completed = Time(80)
    header_flush_signature = Sign(88)
    flush_map_signature = Sign(116)
    file_type = U32(667)

    @classmethod
    def unpack(cls, data: bytes) -> FlushMapHeader:
        """Read and check the header page.

        Raises HeaderDamaged (-1018), NotEseFile (-1812), UnsupportedVersion (-1918).
        """
        if len(data) < PAGE_SIZE or not any(data):
            raise HeaderDamaged("The flush map has no header")
        header = cls(data[:PAGE_SIZE])
        if header.checksum != header_checksum(header.raw):
            raise HeaderDamaged("The header of the flush map fails its checksum", position="header")
        if header.file_type != FILE_TYPE:
            raise NotEseFile("The file is not a flush map")
        if header.version not in _VERSIONS:
            raise UnsupportedVersion(
                f"Flush map version {header.version} is not supported",
                jet=Jet.errFlushMapVersionUnsupported,
            )
        return header

    def sealed(self) -> bytes:
        """Return the header page with a fresh checksum."""
        self.checksum = header_checksum(self.raw)
        return bytes(self.raw)

    @property
    def is_clean(self) -> bool:
        """True if the map was written in full when the database was closed."""
        return bool(self.flags & CLEAN)

    def belongs_to(self, header: DatabaseHeader) -> bool:
        """Tell whether this is the map of a database as it now lies."""
        return _same(self.flush_map_signature, header.flush_map_signature) or _same(
            self.header_flush_signature, header.header_flush_signature
        )


class FlushMapPage(Layout):
    """One page of the map. number: 0 for the first; dbtime_max: highest dbtime that it knows of."""

    SIZE = PAGE_SIZE
    checksum = U64(0)
    dbtime_max = U64(8)
    number = I32(16)
    flags = U32(36)

    @classmethod
    def unpack(cls, data: bytes, number: int) -> FlushMapPage | None:
        """Read page `number`, a single wrong bit corrected; None for a page that is not usable."""
        if len(data) < PAGE_SIZE or not any(data):
            return None
        if int.from_bytes(data[:8], "little") != segment_checksum(data, number):
            mended = correct_segment(data, number)
            if mended is None:
                return None
            data = mended
        page = cls(data)
        return page if page.number == number else None

    def flush_types(self) -> bytes:
        """Return the flush type of each of the PER_PAGE database pages."""
        return b"".join([_UNPACKED[value] for value in self.raw[PAGE_HEADER:]])

    def set_flush_types(self, types: bytes | bytearray) -> None:
        """Store the flush types of all PER_PAGE database pages."""
        if len(types) != PER_PAGE:
            raise ValueError(f"{len(types)} flush types instead of {PER_PAGE}")
        packed = (
            types[i] << 6 | types[i + 1] << 4 | types[i + 2] << 2 | types[i + 3]
            for i in range(0, PER_PAGE, 4)
        )
        self.raw[PAGE_HEADER:] = bytes(packed)

    def sealed(self) -> bytes:
        """Return the page with its checksum flag and a fresh checksum."""
        self.flags |= CHECKSUM_FLAG
        self.checksum = segment_checksum(self.raw, self.number)
        return bytes(self.raw)


def _same(one: Signature, other: Signature) -> bool:
    return one.is_set and one == other
