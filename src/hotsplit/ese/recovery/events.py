"""What the engine would write to the application event log, as JSON lines.

Source: log specification 10.5 (numbers and occasions). Texts are our own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from hotsplit.errors import HotsplitError, Jet
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.files.identify import spare
from hotsplit.report import json_text

SOURCE = "ESE"
CATEGORY = "Logging/Recovery"


class EventId(IntEnum):
    """Numbers of the engine's events that recovery and the engine use."""

    INSTANCE_STOPPED = 104
    RESTORE_BEGINS = 204
    RESTORE_ENDS = 205
    BACKUP_WITHOUT_FULL = 206
    FULL_BACKUP_BEGINS = 210
    LOG_BACKUP_BEGINS = 211
    SNAPSHOT_BACKUP_BEGINS = 212
    BACKUP_FINISHED = 213
    BACKUP_FAILED = 214
    BACKUP_ABORTED = 215
    BACKUP_FILE_OPENED = 220
    BACKUP_FILE_READ = 221
    BACKUP_LOG_RANGE = 223
    LOGS_DELETED = 224
    NO_LOGS_DELETED = 225
    BACKUP_ENDED_BY_SERVER = 226
    RECOVERY_BEGINS = 300
    LOG_REPLAYED = 301
    RECOVERY_COMPLETED = 302
    REPLAYED_WITHOUT_UNDO = 304
    DATABASE_CREATED = 325
    DATABASE_CLOSED = 327
    ATTACH_DEFERRED = 335
    PAGE_CORRECTED = 399
    LOG_DISK_LOW = 428
    LOG_DISK_FULL = 429
    LOG_DAMAGED = 440
    LOG_MISSING = 450
    RANGE_STARTS_LATE = 452
    RANGE_ENDS_EARLY = 453
    RECOVERY_FAILED = 454
    TORN_TAIL_CUT = 465
    SHADOW_HEADER_USED = 472
    PAGE_DAMAGED = 474
    READ_FAILED = 481
    DATABASES_LEFT_OUT = 494
    REQUIRED_LOG_DIFFERS = 496
    PAGE_OUT_OF_STEP = 516
    COMMITTED_LOGS_MISSING = 523
    LOSSY_RECOVERY = 524
    WRITE_LOST = 530
    LOG_BIT_CORRECTED = 554
    UNRESTORED_BACKUP = 619
    FROZEN = 2001
    THAWED = 2003
    FREEZE_EXPIRED = 2004


_KINDS = {
    EventId.ATTACH_DEFERRED: "warning",
    EventId.PAGE_CORRECTED: "warning",
    EventId.LOG_BIT_CORRECTED: "warning",
    EventId.TORN_TAIL_CUT: "warning",
    EventId.SHADOW_HEADER_USED: "warning",
    EventId.DATABASES_LEFT_OUT: "warning",
    EventId.LOSSY_RECOVERY: "warning",
    EventId.BACKUP_WITHOUT_FULL: "error",
    EventId.BACKUP_FAILED: "error",
    EventId.BACKUP_ABORTED: "error",
    EventId.BACKUP_ENDED_BY_SERVER: "error",
    EventId.FROZEN: "information",
    EventId.THAWED: "information",
}
_ERRORS = {
    Jet.errMissingLogFile: EventId.LOG_MISSING,
    Jet.errInvalidLogSequence: EventId.LOG_MISSING,
    Jet.errRequiredLogFilesMissing: EventId.RANGE_ENDS_EARLY,
    Jet.errCommittedLogFilesMissing: EventId.COMMITTED_LOGS_MISSING,
    Jet.errLogFileCorrupt: EventId.LOG_DAMAGED,
    Jet.errReadVerifyFailure: EventId.PAGE_DAMAGED,
    Jet.errDbTimeTooOld: EventId.PAGE_OUT_OF_STEP,
    Jet.errDbTimeTooNew: EventId.PAGE_OUT_OF_STEP,
    Jet.errAttachedDatabaseMismatch: EventId.DATABASES_LEFT_OUT,
    Jet.errSoftRecoveryOnBackupDatabase: EventId.UNRESTORED_BACKUP,
}
_INFORMATION_UP_TO = 399


class Watch(Protocol):
    """Who is told how a recovery goes on."""

    def event(self, number: EventId, text: str, *strings: str) -> None:
        """Take an event. strings: its insertion strings: file names, positions, numbers."""
        ...

    def begin(self, total: int) -> None:
        """Replay of `total` bytes of logs begins."""
        ...

    def advance(self, amount: int) -> None:
        """`amount` more bytes of logs are replayed."""
        ...


class NoWatch:
    """Nobody listens."""

    def event(self, number: EventId, text: str, *strings: str) -> None:
        """See `Watch`."""

    def begin(self, total: int) -> None:
        """See `Watch`."""

    def advance(self, amount: int) -> None:
        """See `Watch`."""


def report_failure(watch: Watch, error: HotsplitError) -> None:
    """Log an error as the engine does: its own event if it has one, then 454."""
    number = _ERRORS.get(error.jet)
    if number is not None:
        watch.event(number, str(error), error.file, error.position)
    text = f"Recovery failed: {error.jet.title}"
    watch.event(EventId.RECOVERY_FAILED, text, str(int(error.jet)))


@dataclass
class EventLog:
    """Events as JSON lines: ``{time, id, type, source, category, message, strings}``.

    path: the file, made anew; every line is written when it happens. Raises TargetExists if that
    is an ESE file.
    """

    env: Env
    path: str
    _file: File | None = field(default=None, repr=False)
    _size: int = 0

    def __post_init__(self) -> None:
        spare(self.env, self.path)

    def event(self, number: EventId, text: str, *strings: str) -> None:
        """See `Watch`."""
        kind = "information" if number < _INFORMATION_UP_TO else "error"
        line = {
            "time": self.env.now().isoformat(timespec="milliseconds"),
            "id": int(number),
            "type": _KINDS.get(number, kind),
            "source": SOURCE,
            "category": CATEGORY,
            "message": text,
            "strings": list(strings),
        }
        data = (json_text(line) + "\n").encode()
        if self._file is None:
            if self.env.exists(self.path):
                self.env.remove(self.path)
            self._file = self.env.open(self.path, "create")
        self._file.pwrite(data, self._size)
        self._size += len(data)

    def begin(self, total: int) -> None:
        """See `Watch`."""

    def advance(self, amount: int) -> None:
        """See `Watch`."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
