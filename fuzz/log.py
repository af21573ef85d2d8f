"""Changes of log files of format v8: header, segments, records; checksums made good again."""

from __future__ import annotations

from collections.abc import Callable

from fuzz.chance import Chance
from fuzz.database import spoil_field
from hotsplit.errors import HotsplitError
from hotsplit.ese.format.checksum import segment_checksum
from hotsplit.ese.format.logheader import HEADER_SIZE, LogHeader
from hotsplit.ese.format.logrecord import decode
from hotsplit.ese.format.logsegment import SEGMENT_HEADER, SEGMENT_SIZE, walk_segment
from hotsplit.ese.format.recordtable import TABLE

_SIZES: dict[int, int] = {row.type: row.size for row in TABLE}
_ROOM = SEGMENT_SIZE - SEGMENT_HEADER


class LogSpoiler:
    """Changes one log file."""

    def __init__(self, chance: Chance, data: bytearray) -> None:
        self.chance = chance
        self.data = data
        self.used = [
            sector
            for sector in range(1, len(data) // SEGMENT_SIZE)
            if any(data[sector * SEGMENT_SIZE + 8 : sector * SEGMENT_SIZE + 44])
        ]

    def spoil(self) -> None:
        """Make one change."""
        if self.chance.once_in(8) or not self.used:
            self.chance.choice((self._header, self._attachments, self._length))()
            return
        sector = self.chance.choice(self.used)
        segment = bytearray(self._segment(sector))
        self.chance.choice(_CHANGES)(self, segment)
        self._write(sector, segment)

    def _segment(self, sector: int) -> bytearray:
        return self.data[sector * SEGMENT_SIZE : (sector + 1) * SEGMENT_SIZE]

    def _write(self, sector: int, segment: bytearray) -> None:
        sealed = bytearray(segment[:SEGMENT_SIZE].ljust(SEGMENT_SIZE, b"\0"))
        sealed[:8] = segment_checksum(sealed, sector).to_bytes(8, "little")
        if self.chance.once_in(40):
            for _ in range(self.chance.randrange(1, 3)):
                sealed[self.chance.randrange(SEGMENT_SIZE)] ^= 1 << self.chance.randrange(8)
        self.data[sector * SEGMENT_SIZE : (sector + 1) * SEGMENT_SIZE] = sealed

    # The file

    def _header(self) -> None:
        header = LogHeader(self.data[:HEADER_SIZE])
        spoil_field(self.chance, header)
        self.data[:HEADER_SIZE] = header.sealed()

    def _attachments(self) -> None:
        header = LogHeader(self.data[:HEADER_SIZE])
        for _ in range(self.chance.randrange(1, 4)):
            self.chance.spoil(header.raw, 671, 671 + 200)
        self.data[:HEADER_SIZE] = header.sealed()

    def _length(self) -> None:
        sectors = len(self.data) // SEGMENT_SIZE
        keep = self.chance.randrange(1, sectors + 2) * SEGMENT_SIZE
        if self.chance.once_in(3):
            del self.data[self.chance.randrange(len(self.data)) :]
            return
        self.data.extend(bytes(max(0, keep - len(self.data))))
        del self.data[keep:]
        if self.chance.once_in(2) and len(self.data) >= HEADER_SIZE:
            header = LogHeader(self.data[:HEADER_SIZE])
            header.file_sectors = len(self.data) // SEGMENT_SIZE % 0x10000
            self.data[:HEADER_SIZE] = header.sealed()

    # A segment

    def _segment_header(self, segment: bytearray) -> None:
        self.chance.spoil(segment, 8, SEGMENT_HEADER)

    def _record_bytes(self, segment: bytearray) -> None:
        """Change bytes of a record, most often in its fixed part."""
        offset, size = self._choose(segment)
        fixed = min(size, _SIZES.get(segment[offset], size))
        for _ in range(self.chance.randrange(1, 4)):
            end = fixed if not self.chance.once_in(3) else size
            self.chance.spoil(segment, offset + 1, offset + end)

    def _record_type(self, segment: bytearray) -> None:
        offset, _ = self._choose(segment)
        segment[offset] = self.chance.choice((self.chance.randrange(102), self.chance.number(1)))

    def _choose(self, segment: bytearray) -> tuple[int, int]:
        found = self._records(segment)
        return self.chance.choice(found) if found else (SEGMENT_HEADER, 8)

    def _records(self, segment: bytearray) -> list[tuple[int, int]]:
        found = []
        try:
            for place in walk_segment(bytes(segment)):
                found.append(place)  # noqa: PERF402 - what came before an error counts
        except HotsplitError:
            pass
        return found

    def _reorder(self, segment: bytearray) -> None:
        """Drop, repeat, exchange, take over or make up records."""
        records = [bytes(segment[at : at + size]) for at, size in self._records(segment)]
        for _ in range(self.chance.randrange(1, 4)):
            i = self.chance.randrange(len(records) + 1)
            kind = self.chance.randrange(5)
            if kind == 0:
                del records[i : i + self.chance.randrange(1, 4)]
            elif kind == 1 and records:
                records.insert(i, self.chance.choice(records))
            elif kind == 2 and records:
                records.insert(i, records.pop(self.chance.randrange(len(records))))
            elif kind == 3:
                other = self._segment(self.chance.choice(self.used))
                at, size = self._choose(other)
                records.insert(i, bytes(other[at : at + size]))
            else:
                records.insert(i, self._made_up(records))
        segment[SEGMENT_HEADER:] = b"".join(records)[:_ROOM].ljust(_ROOM, b"\0")

    def _made_up(self, records: list[bytes]) -> bytes:
        """Return a record of any type whose page, transaction and times are those of another."""
        type_ = self.chance.choice(list(_SIZES))
        size = _SIZES[type_]
        made = bytearray(bytes((type_,)) + self.chance.randbytes(size - 1))
        if records:
            model = self.chance.choice(records)[1:32]
            made[1 : 1 + len(model)] = model[: size - 1]
            self._advance(made)
        for at in range(32, size - 1, 2):
            if not self.chance.once_in(3):
                made[at : at + 2] = self.chance.choice((0, 1, 4, 9)).to_bytes(2, "little")
        return bytes(made) + self.chance.blob(60)

    def _advance(self, record: bytearray) -> None:
        """Let a page record follow the one that it was modelled on."""
        if len(record) >= 32 and self.chance.once_in(2):
            before = int.from_bytes(record[8:16], "little")
            record[16:24] = self.chance.choice((before, 2**64 - 1)).to_bytes(8, "little")
            record[8:16] = min(before + 1, 2**64 - 1).to_bytes(8, "little")

    def _grow(self, segment: bytearray) -> None:
        """Change the lengths of parts of a record and give it so many bytes."""
        records = [bytearray(segment[at : at + size]) for at, size in self._records(segment)]
        if not records:
            return
        record = self.chance.choice(records)
        fixed = min(_SIZES.get(record[0], len(record)), len(record))
        for _ in range(self.chance.randrange(1, 3)):
            if fixed > 2:
                at = self.chance.randrange(1, fixed - 1)
                record[at : at + 2] = self.chance.randrange(300).to_bytes(2, "little")
        try:
            size = decode(bytes(record) + bytes(_ROOM)).size
        except HotsplitError:
            size = len(record)
        record[:] = bytes(record[:size]) + self.chance.blob(max(0, size - len(record)))
        segment[SEGMENT_HEADER:] = b"".join(records)[:_ROOM].ljust(_ROOM, b"\0")

    def _other_segment(self, segment: bytearray) -> None:
        other = self._segment(self.chance.choice(self.used))
        keep = SEGMENT_HEADER if not self.chance.once_in(4) else 0
        segment[keep:] = other[keep:]

    def _noise(self, segment: bytearray) -> None:
        for _ in range(self.chance.randrange(1, 8)):
            self.chance.spoil(segment, 8, SEGMENT_SIZE)


_CHANGES: tuple[Callable[[LogSpoiler, bytearray], None], ...] = (
    LogSpoiler._segment_header,
    LogSpoiler._record_bytes,
    LogSpoiler._record_bytes,
    LogSpoiler._record_bytes,
    LogSpoiler._record_type,
    LogSpoiler._reorder,
    LogSpoiler._reorder,
    LogSpoiler._reorder,
    LogSpoiler._grow,
    LogSpoiler._other_segment,
    LogSpoiler._noise,
)
