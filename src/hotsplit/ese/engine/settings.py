"""What an instance is told: where its files lie, how large they are, what it writes.

Source: log specification 1.2 (sizes), 2.2 (versions); format specification 1.6 (revisions).
"""

from __future__ import annotations

import os.path
import struct
from dataclasses import dataclass

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.format.attachments import DbmsParameters
from hotsplit.ese.format.logheader import HEADER_SIZE
from hotsplit.ese.format.names import BASE_LENGTH

LOG_VERSION = (8, 4000, 5, 16)
"""Major, minor, update-major, update-minor: as Windows 10 wrote, all later engines read it."""

ENGINE_VERSION = 8920
"""Engine format version that goes with LOG_VERSION."""

DATABASE_REVISION = 20
SEGMENT = 4096
_PAGE_SIZES = (4096, 8192, 16384, 32768)
_LOG_SIZES = range(64 << 10, (32 << 20) + 1, SEGMENT)
_MOST_SECTORS = 65535
_MOST_DATABASES = 255  # their numbers are bytes in records


@dataclass(frozen=True)
class Settings:
    """Settings of an instance; sizes in bytes.

    folder: of the logs. system_folder: of the checkpoint; temp_folder: of scratch files of recovery
    and sorting; both are the folder of the logs unless given. base: three characters, the name of
    the log stream.
    log_size: a multiple of 4 KB from 64 KB to 32 MB, mostly a power of two, that has room for two
    pages: at least 68 KB where pages have 32 KB (-1328, as with the published engine).
    checkpoint_depth: log between the checkpoint and the end of the log that page cleaning aims at.
    cache_size: most bytes of pages in memory.
    circular: delete logs that no recovery needs any more. databases: most attached at a time; with
    more than six the published engine cannot replay the logs.
    mend_torn_pages: write each page twice, so that none is lost if the machine stops in a write;
    needed unless the file system never tears a page. flush_map: keep a map of page writes beside
    each database, so that a write that the disk loses is noticed. follow_paths: the logs were
    moved, the databases that they name were not: see `loggedpaths`.
    """

    folder: str
    base: str = "E00"
    page_size: int = 8192
    log_size: int = 1 << 20
    checkpoint_depth: int = 20 << 20
    cache_size: int = 64 << 20
    circular: bool = False
    databases: int = 5
    mend_torn_pages: bool = True
    flush_map: bool = True
    system_folder: str = ""
    temp_folder: str = ""
    follow_paths: bool = False

    @classmethod
    def exchange_2000(cls, folder: str, base: str = "E00") -> Settings:
        """Return the settings of a storage group of Exchange 2000: 4 KB pages, logs of 5 MB."""
        return cls(folder, base, page_size=4096, log_size=5 << 20)

    def __post_init__(self) -> None:
        numbers = self.checkpoint_depth, self.cache_size, self.databases
        if not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise _wrong(f"sizes and counts are whole numbers: {numbers}")
        if not 0 < self.databases <= _MOST_DATABASES:
            raise _wrong(f"no number of databases: {self.databases}")
        if self.page_size not in _PAGE_SIZES:
            raise _wrong(f"no page size: {self.page_size}")
        if self.log_size not in _LOG_SIZES:
            raise _wrong(f"no log size: {self.log_size}")
        if self.log_size // SEGMENT < (HEADER_SIZE + 2 * self.page_size + SEGMENT - 1) // SEGMENT:
            raise InvalidUse(
                f"Logs of {self.log_size} bytes are too small for pages of {self.page_size} bytes",
                jet=Jet.errInvalidSettings,
            )
        if len(self.base) != BASE_LENGTH or not self.base.isascii() or not self.base.isalnum():
            raise _wrong(f"no base name of a log stream: {self.base!r}")

    @property
    def system_path(self) -> str:
        """The folder of the checkpoint."""
        return self.system_folder or self.folder

    @property
    def temp_path(self) -> str:
        """The folder of scratch files."""
        return self.temp_folder or self.folder

    @property
    def log_sectors(self) -> int:
        """Segments of a log file, the header among them."""
        return min(self.log_size // SEGMENT, _MOST_SECTORS)

    def parameters(self) -> DbmsParameters:
        """Return what headers and Init records say about the instance."""
        found = DbmsParameters.empty()
        found.system_path_raw = _path_field(self.system_path)
        found.log_path_raw = _path_field(self.folder)
        found.flags = int(self.circular)
        found.sessions, found.open_tables, found.version_pages, found.cursors = 64, 300, 4096, 1024
        found.log_buffers, found.log_sectors = 126, self.log_sectors
        found.cache_max = min(self.cache_size // self.page_size, 0x7FFFFFFF)
        return found


def position_number(generation: int, sector: int, byte: int) -> int:
    """Return a log position as the one number by which the engine compares positions."""
    return generation << 32 | sector << 16 | byte


def pack_position(number: int) -> bytes:
    """Return the 8 bytes of a position: the number is the same little-endian word."""
    return struct.pack("<Q", number)


def _path_field(folder: str) -> bytes:
    whole = os.path.abspath(folder)  # noqa: PTH100 - paths are plain strings
    return (whole.encode("ascii", "replace")[:259] + b"/").ljust(261, b"\0")


def _wrong(message: str) -> InvalidUse:
    return InvalidUse(message, jet=Jet.errInvalidParameter)
