"""Every error that can reach a user of hotsplit.

Each class is one kind of trouble with its own exit status; the first line of its docstring is what
the table in the docs says. An instance adds the place: file, position, the JET error that the
engine gives for it, and what to do next.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from hotsplit.errors.jet import Jet

__all__ = ["HotsplitError", "Jet", "error_classes"]


class HotsplitError(Exception):
    """Anything that went wrong and has no more special class."""

    exit_status: ClassVar[int] = 10
    default_jet: ClassVar[Jet] = Jet.errInternalError
    default_hint: ClassVar[str] = "Please report this with the file and the command that you used."

    def __init__(
        self,
        message: str,
        *,
        jet: Jet | None = None,
        file: str | os.PathLike[str] = "",
        position: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.jet = self.default_jet if jet is None else jet
        self.file = os.fspath(file)
        self.position = position
        self.hint = hint or self.default_hint

    def at(self, *, file: str | os.PathLike[str] = "", position: str = "") -> HotsplitError:
        """Fill in a place that the raiser could not know; a known place is kept."""
        self.file = self.file or os.fspath(file)
        self.position = self.position or position
        return self

    def as_json(self) -> dict[str, Any]:
        """Return ``{name, number, file, position, hint, message}``: stable, for programs."""
        return {
            "name": self.jet.title,
            "number": int(self.jet),
            "file": self.file,
            "position": self.position,
            "hint": self.hint,
            "message": self.message,
        }

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.file, self.position) if part)
        return f"{where}: {self.message}" if where else self.message


class NotEseFile(HotsplitError):
    """The file is not an ESE database, log, checkpoint or flush map."""

    exit_status = 11
    default_jet = Jet.errFileInvalidType
    default_hint = "Check the path; `hotsplit inspect` says what kind of file it is."


class UnsupportedVersion(HotsplitError):
    """The file is of a format version that cannot be handled."""

    exit_status = 12
    default_jet = Jet.errInvalidDatabaseVersion
    default_hint = "Use a tool of the product and version that wrote the file."


class HeaderDamaged(HotsplitError):
    """No usable copy of a file header is left."""

    exit_status = 13
    default_jet = Jet.errReadVerifyFailure
    default_hint = "Take the file from another copy, snapshot or backup."


class PageDamaged(HotsplitError):
    """A database page fails its checksum or its structure check, or is empty where data must be."""

    exit_status = 14
    default_jet = Jet.errReadVerifyFailure
    default_hint = "Run `hotsplit verify` on the database; restore it from a good copy."


class LogDamaged(HotsplitError):
    """A transaction log that is needed is damaged."""

    exit_status = 15
    default_jet = Jet.errLogFileCorrupt
    default_hint = "Put an undamaged copy of the log in place, or stop replay before it (--until)."


class LogsMissing(HotsplitError):
    """A transaction log that is needed is not there."""

    exit_status = 16
    default_jet = Jet.errRequiredLogFilesMissing
    default_hint = "Find the missing logs; name their folders with --logs."


class LogSequenceBroken(HotsplitError):
    """The transaction logs do not form one chain."""

    exit_status = 17
    default_jet = Jet.errInvalidLogSequence
    default_hint = "Run `hotsplit logs` on the folder and replace the log that breaks the chain."


class ForeignFile(HotsplitError):
    """A file belongs to another log stream or another database."""

    exit_status = 18
    default_jet = Jet.errBadLogSignature
    default_hint = "Compare the signatures with `hotsplit inspect` and remove the foreign file."


class CheckpointUnusable(HotsplitError):
    """The checkpoint file cannot be used, or is newer than the database copy."""

    exit_status = 19
    default_jet = Jet.errCheckpointCorrupt
    default_hint = "Recover without it (--ignore-checkpoint): it only saves time."


class DatabaseMismatch(HotsplitError):
    """A database that the logs know is missing, or is not the one that they belong to."""

    exit_status = 20
    default_jet = Jet.errAttachedDatabaseMismatch
    default_hint = "Bring the missing database, or leave it out with --ignore-missing."


class DbtimeMismatch(HotsplitError):
    """A page is older or newer than the transaction log allows."""

    exit_status = 21
    default_jet = Jet.errDbTimeTooOld
    default_hint = "The copy is not of one instant, or a write was lost: take another copy."


class BackupNeedsRestore(HotsplitError):
    """A streaming backup copy is not yet restored, or its trailer page is damaged."""

    exit_status = 22
    default_jet = Jet.errSoftRecoveryOnBackupDatabase
    default_hint = "Use hard recovery: `hotsplit recover --hard`."


class DiskFull(HotsplitError):
    """There is no space left where the result is written."""

    exit_status = 23
    default_jet = Jet.errDiskFull
    default_hint = "Free space, or write the result elsewhere."


class AccessDenied(HotsplitError):
    """The operating system refuses access to a file."""

    exit_status = 24
    default_jet = Jet.errAccessDenied
    default_hint = "Check owner and permissions of the file and its folder."


class IoFailed(HotsplitError):
    """Reading or writing failed in the operating system or the device."""

    exit_status = 25
    default_jet = Jet.errDiskIO
    default_hint = "Check the device; copy the file to healthy storage first."


class FileMissing(HotsplitError):
    """A file or folder that was named does not exist."""

    exit_status = 26
    default_jet = Jet.errFileNotFound
    default_hint = "Check the path."


class TargetExists(HotsplitError):
    """The result would overwrite something that is already there."""

    exit_status = 27
    default_jet = Jet.errFileAlreadyExists
    default_hint = "Choose a new or empty folder."


class FileTruncated(HotsplitError):
    """A file ends before data that must be in it."""

    exit_status = 28
    default_jet = Jet.errFileIOBeyondEOF
    default_hint = "The copy is incomplete: copy the file again."


class SourceChanged(HotsplitError):
    """A file changed while it was being read."""

    exit_status = 29
    default_jet = Jet.errFileAccessDenied
    default_hint = "Work on a snapshot or a finished copy, not on files that are in use."


class DirtyDatabase(HotsplitError):
    """The database was not shut down cleanly and needs recovery first."""

    exit_status = 30
    default_jet = Jet.errDatabaseDirtyShutdown
    default_hint = "Run `hotsplit assess`, then `hotsplit recover`."


class DataDamaged(HotsplitError):
    """A record, a long value or the catalog cannot be decoded."""

    exit_status = 31
    default_jet = Jet.errDatabaseCorrupted
    default_hint = "Run `hotsplit verify`; other tables may still be readable."


class ObjectNotFound(HotsplitError):
    """A table, column or index of that name does not exist."""

    exit_status = 32
    default_jet = Jet.errObjectNotFound
    default_hint = "List the names with `hotsplit tables`."


class RecoveryFailed(HotsplitError):
    """Replay or undo met something that it cannot carry out."""

    exit_status = 33
    default_jet = Jet.errLogCorrupted
    default_hint = "The source is unchanged. Run `hotsplit assess` and `hotsplit verify` on it."


class KernelsUnavailable(HotsplitError):
    """The kernels demanded with HOTSPLIT_KERNELS cannot run here."""

    exit_status = 34
    default_jet = Jet.errFeatureNotAvailable
    default_hint = "Install gcc and the Python headers and reinstall, or unset HOTSPLIT_KERNELS."


class InvalidUse(HotsplitError):
    """The engine was called in a way that makes no sense."""

    exit_status = 35
    default_jet = Jet.errInvalidParameter
    default_hint = "Nothing was changed. Correct the call."


class WriteConflict(HotsplitError):
    """Another transaction changed the same thing first."""

    exit_status = 36
    default_jet = Jet.errWriteConflict
    default_hint = "Roll the transaction back and try it again."


class KeyDuplicate(HotsplitError):
    """A row would have the key of another row in a unique index."""

    exit_status = 37
    default_jet = Jet.errKeyDuplicate
    default_hint = "Nothing was changed. Use another key, or update the row that has it."


class RecordNotFound(HotsplitError):
    """There is no such row, or the cursor stands on none."""

    exit_status = 38
    default_jet = Jet.errRecordNotFound
    default_hint = "Nothing was changed. Seek or move first."


class InstanceDown(HotsplitError):
    """The instance cannot go on and must be opened anew."""

    exit_status = 39
    default_jet = Jet.errInstanceUnavailable
    default_hint = "Close the instance, mend what it reports, and open it again: it recovers."


class FeatureMissing(HotsplitError):
    """What was asked for needs a library that is not installed."""

    exit_status = 40
    default_jet = Jet.errFeatureNotAvailable
    default_hint = "Install the extra that the message names."


class Unsupported(HotsplitError):
    """Something that the engine or its tools can do and that is not offered here."""

    exit_status = 41
    default_jet = Jet.errFeatureNotAvailable
    default_hint = "See the page of the command for what there is instead."


class FreezeExpired(HotsplitError):
    """A freeze of an instance was over before the copy was made, or never came about."""

    exit_status = 42
    default_jet = Jet.errOSSnapshotTimeOut
    default_hint = "Do not use the copy. Freeze again, with a longer deadline or when less goes on."


def error_classes() -> list[type[HotsplitError]]:
    """Return every error class, by exit status: what the table in the docs is generated from."""

    def below(cls: type[HotsplitError]) -> list[type[HotsplitError]]:
        return [cls, *(c for sub in cls.__subclasses__() for c in below(sub))]

    return sorted(below(HotsplitError), key=lambda c: c.exit_status)
