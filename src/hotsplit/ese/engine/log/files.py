"""The files of a log stream as they are made: current log, archives, the next one, reserves.

A generation ends in the order that leaves a usable set of files at every step.
Source: log specification 1.1, 1.3, 1.4, 2.
"""

from __future__ import annotations

from collections.abc import Callable

from hotsplit.errors import DiskFull, Jet
from hotsplit.ese.engine.settings import ENGINE_VERSION, LOG_VERSION, SEGMENT, Settings
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.attachments import Attachment
from hotsplit.ese.format.basics import NO_SIGNATURE, LogPosition, LogTime, Signature
from hotsplit.ese.format.logheader import (
    CIRCULAR_BEFORE,
    CIRCULAR_NOW,
    FILE_TYPE,
    HEADER_SIZE,
    MADE_FROM_RESERVE,
    LogHeader,
)
from hotsplit.ese.format.names import NameKind, file_name, parse_name

_LOGS = (NameKind.CURRENT, NameKind.ARCHIVE)
_RESERVES = 2
_ZERO_BLOCK = bytes(1 << 20)


class LogFiles:
    """The folder of a stream. signature: of the stream; a new one is drawn for a new stream.

    low: the disk was full and a reserve log is in use: what is under way should come to an end.
    on_low: called when that happens, with False, and when no reserve is left, with True.
    """

    def __init__(self, env: Env, settings: Settings) -> None:
        self._env, self._settings = env, settings
        self.signature = NO_SIGNATURE
        self.created = LogTime()
        self.low = False
        self.on_low: Callable[[bool], None] = lambda out: None
        self._size = settings.log_sectors * SEGMENT
        self._circular_before = False
        self._version: tuple[int, int, int, int] = LOG_VERSION
        self._engine_version = ENGINE_VERSION
        self._digits, self._extension = 8, "log"

    # Names

    def _path(self, name: str) -> str:
        return f"{self._settings.folder}/{name}"

    @property
    def current_path(self) -> str:
        """The log being written."""
        return self._path(file_name(self._settings.base, extension=self._extension))

    @property
    def checkpoint_path(self) -> str:
        """The checkpoint file."""
        ending = "chk" if self._extension == "log" else "jcp"
        return f"{self._settings.system_path}/{self._settings.base}.{ending}"

    def archive_path(self, generation: int) -> str:
        """The log of a closed generation."""
        digits, extension = self._digits, self._extension
        return self._path(file_name(self._settings.base, generation, digits, extension))

    @property
    def _tmp_path(self) -> str:
        return self._path(f"{self._settings.base}tmp.{self._extension}")

    def _reserve_path(self, number: int) -> str:
        return self._path(f"{self._settings.base}res{number:05X}.jrs")

    def archives(self) -> list[int]:
        """Generations of the numbered logs that are there, ascending."""
        names = map(parse_name, self._env.listdir(self._settings.folder))
        return sorted(
            n.generation
            for n in names
            if n is not None and n.kind == NameKind.ARCHIVE and n.is_of(self._settings.base)
        )

    def exists(self) -> bool:
        """Tell whether the folder holds logs of this stream, in whatever style of names."""
        names = map(parse_name, self._env.listdir(self._settings.folder))
        return any(
            n is not None and n.is_of(self._settings.base) and n.kind in _LOGS for n in names
        )

    # Making files

    def begin_stream(self) -> File:
        """Make generation 1 of a new stream and return it, open."""
        random = int.from_bytes(self._env.random(4), "little") or 1
        self.signature = Signature(random, LogTime.from_datetime(self._env.now()))
        self.created = LogTime()
        return self.begin(1, 0, [], LogPosition(1, 1, 0))

    def open_current(self) -> File:
        """Open the current log for writing."""
        return self._env.open(self.current_path, "write")

    def put_back(self, current: File) -> None:
        """Give the current log its name again if somebody took it away: it is still open."""
        if self._env.exists(self.current_path):
            return
        file = self._env.open(self.current_path, "create")
        try:
            for offset in range(0, current.size(), len(_ZERO_BLOCK)):
                file.pwrite(current.pread(len(_ZERO_BLOCK), offset), offset)
            file.sync()
        finally:
            file.close()
        self._env.sync_dir(self._settings.folder)

    def adopt(self, header: LogHeader, digits: int = 8, extension: str = "log") -> None:
        """Continue the stream of a log whose header was read, in its format and style of names."""
        self.signature, self.created = header.signature, header.created
        self._version, self._engine_version = header.version, header.engine_version
        self._digits, self._extension = digits, extension
        self._circular_before = bool(header.flags & CIRCULAR_BEFORE)

    def begin(
        self,
        generation: int,
        checksum: int,
        attachments: list[Attachment],
        checkpoint: LogPosition,
    ) -> File:
        """Begin a generation and return its log, open; the one before is complete and durable.

        checksum: of all segments of the generation before. Raises DiskFull, with the current log
        in place as it was.
        """
        now = LogTime.from_datetime(self._env.now())
        header = self._header(generation)
        header.created, header.previous_created = now, self.created
        header.previous_checksum, header.checkpoint = checksum, checkpoint
        header.attachments = attachments
        self._prepare(header)
        self.created = now
        if self._env.exists(self.current_path):
            self._env.rename(self.current_path, self.archive_path(generation - 1))
        self._env.rename(self._tmp_path, self.current_path)
        self._env.sync_dir(self._settings.folder)
        return self._env.open(self.current_path, "write")

    def _header(self, generation: int) -> LogHeader:
        header = LogHeader.empty()
        header.generation, header.file_type = generation, FILE_TYPE
        header.sector_size, header.header_sectors = SEGMENT, HEADER_SIZE // SEGMENT
        header.file_sectors = self._settings.log_sectors
        header.page_size_raw = self._settings.page_size
        header.major, header.minor, header.update_major, header.update_minor = self._version
        header.engine_version = self._engine_version
        header.signature, header.parameters = self.signature, self._settings.parameters()
        self._circular_before |= self._settings.circular
        header.flags = CIRCULAR_NOW if self._settings.circular else 0
        header.flags |= CIRCULAR_BEFORE if self._circular_before else 0
        return header

    def _prepare(self, header: LogHeader) -> None:
        """Make the next log complete under its temporary name."""
        file, from_reserve = self._blank()
        try:
            header.flags |= MADE_FROM_RESERVE if from_reserve else 0
            file.pwrite(header.sealed(), 0)
            file.sync()
        finally:
            file.close()

    def _blank(self) -> tuple[File, bool]:
        """Return the temporary log, zero-filled; made from a reserve if the disk is full."""
        if self._env.exists(self._tmp_path):
            self._env.remove(self._tmp_path)
        try:
            return self._zeroed(self._tmp_path), False
        except DiskFull as error:
            return self._from_reserve(error), True

    def _from_reserve(self, full: DiskFull) -> File:
        for number in range(_RESERVES, 0, -1):
            if self._env.exists(self._reserve_path(number)):
                self._env.rename(self._reserve_path(number), self._tmp_path)
                if not self.low:
                    self.low = True
                    self.on_low(False)
                return self._env.open(self._tmp_path, "write")
        self.on_low(True)
        raise log_disk_full(self.current_path) from full

    def _zeroed(self, path: str) -> File:
        """Make a file of zeros; nothing is left of it where the disk is full."""
        file = self._env.open(path, "create")
        try:
            for offset in range(0, self._size, len(_ZERO_BLOCK)):
                file.pwrite(_ZERO_BLOCK[: self._size - offset], offset)
        except BaseException as error:
            file.close()
            if isinstance(error, DiskFull):
                self._env.remove(path)
            raise
        return file

    def make_reserves(self) -> None:
        """Keep reserve logs for a full disk: space that is really there. Raises DiskFull (-529)."""
        try:
            made = [self._make_reserve(self._reserve_path(n)) for n in range(1, _RESERVES + 1)]
        except DiskFull as error:
            raise log_disk_full(self.current_path) from error
        if any(made):
            self._env.sync_dir(self._settings.folder)
        self.low = False

    def _make_reserve(self, path: str) -> bool:
        """Make one reserve, if it is not there; tell whether it was not."""
        if self._env.exists(path):
            file = self._env.open(path, "read")
            whole = file.size() == self._size
            file.close()
            if whole:
                return False
            self._env.remove(path)
        file = self._zeroed(path)
        file.sync()
        file.close()
        return True

    def delete_below(self, generation: int) -> list[int]:
        """Delete archives below `generation`, lowest first; return their generations."""
        gone = [old for old in self.archives() if old < generation]
        for old in gone:
            self._env.remove(self.archive_path(old))
        return gone


def log_disk_full(path: str) -> DiskFull:
    """Return the error for a disk that has no room for another log."""
    return DiskFull(
        "There is no space for another log",
        jet=Jet.errLogDiskFull,
        file=path,
        hint="Free space on the disk of the logs, then open the instance again.",
    )
