"""Changes of log files of format v8: header, segments, records; checksums made good again.

Most changes keep a segment a list of whole records, so that replay gets past them.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.chance import Chance
from fuzz.database import spoil_field
from hotsplit.errors import HotsplitError
from hotsplit.ese.format.checksum import header_checksum, segment_checksum
from hotsplit.ese.format.logheader import HEADER_SIZE, LogHeader
from hotsplit.ese.format.logrecord import decode, encode
from hotsplit.ese.format.logsegment import SEGMENT_HEADER, SEGMENT_SIZE, walk_segment
from hotsplit.ese.format.recordtable import TABLE, RecordType

_SIZES: dict[int, int] = {row.type: row.size for row in TABLE}
_FRAGMENTS = (RecordType.FRAGMENT_BEGIN, RecordType.FRAGMENT)
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
        if self.chance.once_in(20) or not self.used:
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

    def _record_bytes(self, records: list[bytes], i: int) -> None:
        """Change bytes of a record, most often in its fixed part; give it the size it then has."""
        record = bytearray(records[i])
        fixed = min(len(record), _SIZES.get(record[0], len(record)))
        for _ in range(self.chance.randrange(1, 4)):
            end = len(record) if self.chance.once_in(3) else fixed
            self.chance.spoil(record, 1, end)
        records[i] = self._sized(record)

    def _sized(self, record: bytearray) -> bytes:
        """Return a record with as many bytes as its lengths say, if that is possible."""
        if self.chance.once_in(8):
            return bytes(record)
        try:
            size = decode(bytes(record) + bytes(_ROOM)).size
        except HotsplitError:
            return bytes(record)
        return bytes(record[:size]) + self.chance.blob(max(0, size - len(record)), exactly=True)

    def _record_type(self, records: list[bytes], i: int) -> None:
        kind = self.chance.choice((self.chance.randrange(102), self.chance.number(1)))
        size = _SIZES.get(kind, 0)
        changed = bytearray(bytes((kind,)) + records[i][1:])
        changed += self.chance.blob(max(0, size - len(changed)), exactly=True)
        records[i] = self._sized(changed)

    def _field(self, records: list[bytes], i: int) -> None:
        """Change one field or one variable part of a record; its lengths stay right."""
        try:
            record = decode(records[i])
        except HotsplitError:
            return
        fields = record.as_dict()
        usual = [name for name in fields if not name.startswith("dbtime")]
        name = self.chance.choice(usual or ["type"])
        value = fields.get(name)
        if isinstance(value, bytes):
            data = bytearray(value)
            self.chance.choice((self._shorten, self._lengthen, self._spoil_all))(data)
            fields[name] = bytes(data)
            fields.pop(f"{name}_size", None)
        elif isinstance(value, int):
            fields[name] = self.chance.number(self.chance.choice((1, 2, 4)), value & 0xFFFFFFFF)
        try:
            records[i] = encode(record.type, **fields)
        except (ValueError, TypeError, AttributeError):
            return

    def _shorten(self, data: bytearray) -> None:
        del data[self.chance.randrange(len(data) + 1) :]

    def _lengthen(self, data: bytearray) -> None:
        data += self.chance.blob(100)

    def _spoil_all(self, data: bytearray) -> None:
        self.chance.spoil(data, 0, len(data))

    def _drop(self, records: list[bytes], i: int) -> None:
        del records[i : i + self.chance.choice((1, 1, 2, 5))]

    def _repeat(self, records: list[bytes], i: int) -> None:
        records.insert(i, self.chance.choice(records))

    def _move(self, records: list[bytes], i: int) -> None:
        records.insert(self.chance.randrange(len(records)), records.pop(i))

    def _take_over(self, records: list[bytes], i: int) -> None:
        """Insert a record of another segment."""
        others = self._records(self._segment(self.chance.choice(self.used)))
        if others:
            records.insert(i, self.chance.choice(others))

    def _make_up(self, records: list[bytes], i: int) -> None:
        """Insert a record of any type whose page, transaction and times are those of another."""
        type_ = self.chance.choice(list(_SIZES))
        size = _SIZES[type_]
        made = bytearray(bytes((type_,)) + self.chance.randbytes(size - 1))
        model = records[i][1:32]
        made[1 : 1 + len(model)] = model[: size - 1]
        self._advance(made)
        for at in range(32, size - 1, 2):
            if not self.chance.once_in(3):
                made[at : at + 2] = self.chance.choice((0, 1, 4, 9)).to_bytes(2, "little")
        records.insert(i + 1, self._sized(made))

    def _advance(self, record: bytearray) -> None:
        """Let a page record follow the one that it was modelled on."""
        if len(record) >= 32 and self.chance.once_in(2):
            before = int.from_bytes(record[8:16], "little")
            record[16:24] = self.chance.choice((before, 2**64 - 1)).to_bytes(8, "little")
            record[8:16] = min(before + 1, 2**64 - 1).to_bytes(8, "little")

    def _rewrite(self, segment: bytearray) -> None:
        """Change the list of the records of a segment and write them anew."""
        records = self._records(segment)
        for _ in range(self.chance.choice((1, 1, 1, 2, 4))):
            whole = [i for i, record in enumerate(records) if record[0] not in _FRAGMENTS]
            places = whole if whole and not self.chance.once_in(10) else range(len(records))
            if not places:
                return
            self.chance.choice(_REWRITES)(self, records, self.chance.choice(places))
        packed = bytearray()
        for record in records:
            if len(packed) + len(record) <= _ROOM:
                packed += record
        segment[SEGMENT_HEADER:] = packed.ljust(_ROOM, b"\0")

    def _records(self, segment: bytearray) -> list[bytes]:
        found = []
        try:
            for at, size in walk_segment(bytes(segment)):
                found.append(bytes(segment[at : at + size]))
        except HotsplitError:
            pass  # what came before counts
        return found

    def _other_segment(self, segment: bytearray) -> None:
        other = self._segment(self.chance.choice(self.used))
        keep = SEGMENT_HEADER if not self.chance.once_in(4) else 0
        segment[keep:] = other[keep:]

    def _noise(self, segment: bytearray) -> None:
        for _ in range(self.chance.randrange(1, 8)):
            self.chance.spoil(segment, 8, SEGMENT_SIZE)


_CHANGES: tuple[Callable[[LogSpoiler, bytearray], None], ...] = (
    LogSpoiler._segment_header,
    *(LogSpoiler._rewrite,) * 10,
    LogSpoiler._other_segment,
    LogSpoiler._noise,
)
_REWRITES: tuple[Callable[[LogSpoiler, list[bytes], int], None], ...] = (
    *(LogSpoiler._field,) * 6,
    *(LogSpoiler._record_bytes,) * 3,
    LogSpoiler._record_type,
    LogSpoiler._drop,
    LogSpoiler._repeat,
    LogSpoiler._move,
    LogSpoiler._take_over,
    LogSpoiler._make_up,
)


def unchain(data: bytearray) -> None:
    """Let a log not say what checksum the log before has: that one may have been changed."""
    if len(data) >= HEADER_SIZE:
        header = LogHeader(data[:HEADER_SIZE])
        if header.previous_checksum and header.checksum == header_checksum(header.raw):
            header.previous_checksum = 0
            data[:HEADER_SIZE] = header.sealed()
