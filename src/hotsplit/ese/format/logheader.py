"""The header of a log file, formats v7 and v8.

Source: log specification 2 (layout), 2.2 (versions), 2.4 (order of the checks).
"""

from __future__ import annotations

import struct
from typing import Self

from hotsplit.errors import Jet, LogDamaged, NotEseFile, UnsupportedVersion
from hotsplit.ese.format.attachments import (
    LIST_SIZE,
    Attachment,
    Parameters,
    pack_attachments,
    parse_attachments,
)
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.checksum import header_checksum
from hotsplit.ese.format.header import PAGE_SIZES
from hotsplit.ese.format.layout import I32, U8, U16, U32, U64, Layout, Position, Raw, Sign, Time

HEADER_SIZE = 4096
FILE_TYPE = 3
SEGMENT_SIZE = 4096
"""Sector size of format v8; v7 has the disk's, 512 as a rule."""

NEWEST = {7: (3704, 17), 8: (4000, 130)}
"""Newest minor and update-major of each major version that can be read."""

MADE_FROM_RESERVE = 1
CIRCULAR_NOW = 2
CIRCULAR_BEFORE = 4


class LogHeader(Layout):
    """First 4096 bytes of a log file.

    header_sectors, file_sectors: in sectors of `sector_size` bytes.
    previous_created: creation time of the generation before (``tmPrevGen``).
    previous_checksum: XOR of all segment checksums of that generation, 0 if not recorded.
    """

    SIZE = HEADER_SIZE
    checksum = U32(0)
    generation = I32(4)
    sector_size = U16(8)
    header_sectors = U16(10)
    file_sectors = U16(12)
    page_size_raw = U16(14)
    created = Time(16)
    previous_created = Time(24)
    major = U32(32)
    minor = U32(36)
    update_major = U32(40)
    signature = Sign(44)
    parameters = Parameters(72)
    flags = U8(639)
    checkpoint = Position(640)
    update_minor = U32(648)
    disk_sector = U8(652)
    previous_checksum = U64(653)
    engine_version = U32(661)
    file_type = U32(667)
    attachments_raw = Raw(671, LIST_SIZE)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read and check a header: checksum, version, file type, sector size.

        Raises LogDamaged (-501), UnsupportedVersion or NotEseFile.
        """
        if len(data) < HEADER_SIZE:
            raise LogDamaged("The log header is cut off", jet=Jet.errLogFileCorrupt)
        header = cls(data[:HEADER_SIZE])
        if header.checksum != header_checksum(bytes(header.raw)):
            raise LogDamaged(
                "The log header fails its checksum", jet=Jet.errLogFileCorrupt, position="header"
            )
        header._check_version()
        header._check_geometry()
        return header

    def sealed(self) -> bytes:
        """Return the 4096 bytes with a fresh checksum."""
        self.checksum = header_checksum(bytes(self.raw))
        return bytes(self.raw)

    @property
    def page_size(self) -> int:
        """Page size of the databases, bytes."""
        return self.page_size_raw or 4096

    @property
    def file_size(self) -> int:
        """What the file must measure, bytes."""
        return self.file_sectors * self.sector_size

    @property
    def version(self) -> tuple[int, int, int, int]:
        """Major, minor, update-major, update-minor, e.g. (8, 4000, 5, 16)."""
        return self.major, self.minor, self.update_major, self.update_minor

    @property
    def has_segments(self) -> bool:
        """Format v8: segments with ECC; else v7: a stream with checksum records."""
        return self.major >= 8

    @property
    def attachments(self) -> list[Attachment]:
        """Databases attached at the start of the generation. Raises LogDamaged."""
        return parse_attachments(self.attachments_raw)

    @attachments.setter
    def attachments(self, entries: list[Attachment]) -> None:
        self.attachments_raw = pack_attachments(entries)

    @property
    def first_position(self) -> LogPosition:
        """Where the records begin."""
        return LogPosition(self.generation, self.header_sectors, 0)

    def _check_version(self) -> None:
        old = _ancient_format(self.raw)
        if old is not None:
            raise UnsupportedVersion("The log is of an engine before 1997", jet=old)
        minor, update = NEWEST.get(self.major, (-1, -1))
        if self.minor == minor and self.update_major <= update:
            return
        newer = (self.major, self.minor, self.update_major) > (8, *NEWEST[8])
        raise UnsupportedVersion(
            f"Log format {'.'.join(map(str, self.version))} is {'newer' if newer else 'older'}"
            " than this program can read (7.3704.0-17 and 8.4000.0-130)",
            jet=Jet.errBadLogVersion,
        )

    def _check_geometry(self) -> None:
        typed = self.has_segments or self.update_major >= 5
        if typed and self.file_type != FILE_TYPE:
            raise NotEseFile(f"The file is of type {self.file_type}, not a log ({FILE_TYPE})")
        size = self.sector_size
        good = size == SEGMENT_SIZE if self.has_segments else size in (512, 1024, 2048, 4096)
        if not good or self.header_sectors * size != HEADER_SIZE:
            raise LogDamaged(
                f"The log has sectors of {size} bytes and a header of {self.header_sectors}",
                jet=Jet.errLogSectorSizeMismatch,
            )
        if self.generation <= 0 or self.file_sectors <= self.header_sectors:
            raise LogDamaged(
                f"The log header names generation {self.generation} and {self.file_sectors} sectors"
            )
        if self.page_size not in PAGE_SIZES:
            raise LogDamaged(f"The log header names pages of {self.page_size} bytes")


def _ancient_format(raw: bytearray) -> Jet | None:
    """Recognise the formats 200, 400 and 500 of the 1990s, which get an error of their own."""
    word = dict(zip(range(20, 52, 4), struct.unpack_from("<8I", raw, 20), strict=True))
    if word[24] == 4 and word[28] in (909, 995) and word[32] == 0:
        return Jet.errDatabase500Format
    if (word[20], word[24], word[28]) == (443, 0, 0):
        return Jet.errDatabase400Format
    if (word[44], word[48]) == (0, 0xCA0001):
        return Jet.errDatabase200Format
    return None
