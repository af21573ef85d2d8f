"""The small structures that every ESE file uses: positions, times, signatures, backup marks.

Source: ESE format specification, section 0 (small binary structures). All integers are
little-endian; sizes are in bytes and asserted below.
"""

from __future__ import annotations

import datetime as dt
import struct
from typing import NamedTuple, Self

_POSITION = struct.Struct("<HHi")
_TIME = struct.Struct("<8B")
_SIGNATURE = struct.Struct("<I8s16s")
_BACKUP = struct.Struct("<8s8sII")
assert (_POSITION.size, _TIME.size, _SIGNATURE.size, _BACKUP.size) == (8, 8, 28, 24)

NO_TIME_TEXT = "00/00/1900 00:00:00.000 LOC"


class LogPosition(NamedTuple):
    """A place in a log stream (``LGPOS``): generation, sector in the file, byte in the sector.

    Tuples compare as positions do: generation, then sector, then byte.
    """

    generation: int = 0
    sector: int = 0
    byte: int = 0

    @classmethod
    def unpack(cls, data: bytes, offset: int = 0) -> Self:
        """Read 8 bytes at `offset`."""
        byte, sector, generation = _POSITION.unpack_from(data, offset)
        return cls(generation, sector, byte)

    def pack(self) -> bytes:
        """Return the 8 bytes."""
        return _POSITION.pack(self.byte, self.sector, self.generation)

    def __str__(self) -> str:
        return f"(0x{self.generation:X},{self.sector:X},{self.byte:X})"


class LogTime(NamedTuple):
    """A time of day (``LOGTIME``), UTC with milliseconds; local and whole seconds in old files."""

    seconds: int = 0
    minutes: int = 0
    hours: int = 0
    day: int = 0
    month: int = 0
    year1900: int = 0
    low: int = 0
    high: int = 0

    @classmethod
    def unpack(cls, data: bytes, offset: int = 0) -> Self:
        """Read 8 bytes at `offset`; any byte values are accepted."""
        return cls._make(_TIME.unpack_from(data, offset))

    @classmethod
    def from_datetime(cls, when: dt.datetime) -> Self:
        """Make a UTC time with milliseconds."""
        when = when.astimezone(dt.UTC)
        ms = when.microsecond // 1000
        low, high = (ms & 0x7F) << 1 | 1, (ms >> 7) << 1
        return cls(
            when.second, when.minute, when.hour, when.day, when.month, when.year - 1900, low, high
        )

    def pack(self) -> bytes:
        """Return the 8 bytes."""
        return _TIME.pack(*self)

    @property
    def is_set(self) -> bool:
        """False for the all-zero time, which means "never"."""
        return any(self)

    @property
    def milliseconds(self) -> int:
        """Milliseconds within the second, 0 to 999 (1023 in a damaged field)."""
        return self.low >> 1 | (self.high >> 1 & 7) << 7

    def to_datetime(self) -> dt.datetime | None:
        """Return an aware (UTC) or naive (local) datetime; None when unset or impossible."""
        zone = dt.UTC if self.low & 1 else None
        try:
            return dt.datetime(
                self.year1900 + 1900,
                self.month,
                self.day,
                self.hours,
                self.minutes,
                self.seconds,
                min(self.milliseconds, 999) * 1000,
                tzinfo=zone,
            )
        except ValueError:
            return None

    def text(self, *, zone: bool = True) -> str:
        """Return ``MM/DD/YYYY hh:mm:ss.mmm UTC``, the engine's own form (LOC for local)."""
        base = (
            f"{self.month:02}/{self.day:02}/{self.year1900 + 1900:04} "
            f"{self.hours:02}:{self.minutes:02}:{self.seconds:02}.{self.milliseconds:03}"
        )
        return f"{base} {'UTC' if self.low & 1 else 'LOC'}" if zone else base

    def __str__(self) -> str:
        return self.text()


class Signature(NamedTuple):
    """What makes a database, a log stream or a header write unique (``SIGNATURE``)."""

    random: int = 0
    created: LogTime = LogTime()
    computer: bytes = b""

    @classmethod
    def unpack(cls, data: bytes, offset: int = 0) -> Self:
        """Read 28 bytes at `offset`."""
        random, created, computer = _SIGNATURE.unpack_from(data, offset)
        return cls(random, LogTime.unpack(created), computer.rstrip(b"\0"))

    def pack(self) -> bytes:
        """Return the 28 bytes."""
        return _SIGNATURE.pack(self.random, self.created.pack(), self.computer)

    @property
    def is_set(self) -> bool:
        """False for the all-zero signature."""
        return self != NO_SIGNATURE

    def __str__(self) -> str:
        name = self.computer.decode("latin-1")
        return f"Create time:{self.created.text(zone=False)} Rand:{self.random} Computer:{name}"


NO_SIGNATURE = Signature()


class BackupInfo(NamedTuple):
    """Which logs a backup covers, and when it was made (``BKINFO``)."""

    mark: LogPosition = LogPosition()
    time: LogTime = LogTime()
    low: int = 0
    high: int = 0

    @classmethod
    def unpack(cls, data: bytes, offset: int = 0) -> Self:
        """Read 24 bytes at `offset`."""
        mark, time, low, high = _BACKUP.unpack_from(data, offset)
        return cls(LogPosition.unpack(mark), LogTime.unpack(time), low, high)

    def pack(self) -> bytes:
        """Return the 24 bytes."""
        return _BACKUP.pack(self.mark.pack(), self.time.pack(), self.low, self.high)


def is_large(page_size: int) -> bool:
    """Tell whether pages of this size have the layout of large pages (format 2.1, 2.4, 7.4)."""
    return page_size > 8192


def page_header_size(page_size: int) -> int:
    """Return the bytes of the header of a page of this size (format 2.1)."""
    return 80 if is_large(page_size) else 40
