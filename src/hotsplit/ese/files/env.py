"""The port through which all files, time and chance reach the engine.

Nothing below `hotsplit.cli` opens a file, asks for the time or draws a random number in any other
way, so a test can hand in an `Env` that drops unsynced writes, tears sectors, fills the disk or
stops the clock. Paths are plain strings. Every method raises a `HotsplitError` that names the file;
operating-system exceptions do not leave this module.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Hashable, Iterator
from types import TracebackType
from typing import ClassVar, Literal, Protocol

from hotsplit.errors import (
    AccessDenied,
    DiskFull,
    FileMissing,
    HotsplitError,
    IoFailed,
    Jet,
    SourceChanged,
    TargetExists,
)

Buffer = bytes | bytearray | memoryview
Mode = Literal["read", "write", "create"]

_FICLONE = 0x40049409
_CLASSES: dict[int, type[HotsplitError]] = {
    errno.ENOENT: FileMissing,
    errno.ENOTDIR: FileMissing,
    errno.EACCES: AccessDenied,
    errno.EPERM: AccessDenied,
    errno.EROFS: AccessDenied,
    errno.EEXIST: TargetExists,
    errno.ENOTEMPTY: TargetExists,
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: DiskFull,
    errno.EFBIG: DiskFull,
}
_JETS = {
    errno.EROFS: Jet.errFileAccessDenied,
    errno.EISDIR: Jet.errInvalidPath,
    errno.ENAMETOOLONG: Jet.errInvalidPath,
    errno.ELOOP: Jet.errInvalidPath,
}
_NO_FILE = "Give the path of a file."
_HINTS = {
    errno.EISDIR: _NO_FILE,
    errno.ENOTDIR: "A file is there where a folder must be.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "Give the path of the file itself: its links lead in a circle.",
    errno.EBADF: "It was closed before: read what you need first.",
}


class _translated:  # noqa: N801 - used like a function
    """Turn an OSError into the error class that says what to do about it."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            cls = _CLASSES.get(error.errno or 0, IoFailed)
            jet = _JETS.get(error.errno or 0)
            hint = _HINTS.get(error.errno or 0, "")
            why = error.strerror or str(error)
            raise cls(why, jet=jet, file=self._path, hint=hint) from error


class File(Protocol):
    """An open file. Reads and writes name their offset; there is no current position."""

    path: str

    def pread(self, size: int, offset: int) -> bytes:
        """Read up to `size` bytes at `offset`; fewer only at the end of the file."""
        ...

    def has_data(self, offset: int, size: int) -> bool:
        """Tell whether anything may have been written there; without, it reads as zeros."""
        ...

    def pwrite(self, data: Buffer, offset: int) -> None:
        """Write all of `data` at `offset`, growing the file if need be."""
        ...

    def size(self) -> int:
        """Return the file's size in bytes now."""
        ...

    def truncate(self, size: int) -> None:
        """Set the size in bytes; new bytes are zero."""
        ...

    def allocate(self, size: int) -> None:
        """Grow to `size` bytes; the new ones are zero and have their space on the disk already.

        Raises DiskFull, with nothing changed.
        """
        ...

    def sync(self) -> None:
        """Return only when data and size are on stable storage."""
        ...

    def close(self) -> None:
        """Close; unsynced data may still be lost in a crash."""
        ...


class Lock(Protocol):
    """A file or folder kept for one user. The end of the process, however it comes, releases it."""

    def release(self) -> None:
        """Let others have it."""
        ...


class Env(Protocol):
    """Files, folders, clock and randomness."""

    def open(self, path: str, mode: Mode) -> File:
        """Open for "read" only, "write" (existing file) or "create" (must not exist yet)."""
        ...

    def exists(self, path: str) -> bool:
        """Tell whether a file or folder is there."""
        ...

    def is_dir(self, path: str) -> bool:
        """Tell whether `path` is a folder."""
        ...

    def identity(self, path: str) -> Hashable:
        """Return what all paths to one file have in common, links too. Raises FileMissing."""
        ...

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder, sorted."""
        ...

    def mkdir(self, path: str) -> None:
        """Make a folder and its missing parents; no error if it is there."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Rename a file, replacing `new` if it is there. Durable after `sync_dir`."""
        ...

    def remove(self, path: str) -> None:
        """Delete a file."""
        ...

    def remove_tree(self, path: str) -> None:
        """Delete a folder and all in it; no error if it is not there."""
        ...

    def sync_dir(self, path: str) -> None:
        """Make names created, renamed or removed in a folder durable."""
        ...

    def copy(self, source: str, target: str) -> None:
        """Copy a file to a new name, sharing blocks where the file system can.

        Raises SourceChanged if the source was written meanwhile. What is at `target` after an
        error is of no use. Durable after the copy is opened and synced.
        """
        ...

    def reread(self, path: str) -> None:
        """Have a file read from the device from now on, but for writes that are still under way.

        After a sync that failed, memory may show what never came there and never will.
        """
        ...

    def lock(self, path: str) -> Lock:
        """Keep a file or folder for this user; readers that ask for no lock are not kept out.

        Raises AccessDenied (-1032) if another user has it, of this process or of another one.
        """
        ...

    def now(self) -> dt.datetime:
        """Return the time, UTC."""
        ...

    def random(self, size: int) -> bytes:
        """Return unpredictable bytes."""
        ...


class OsFile:
    """A `File` of the operating system."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def pread(self, size: int, offset: int) -> bytes:
        """See `File`."""
        with _translated(self.path):
            data = os.pread(self._fd, size, offset)
            if len(data) in (0, size):
                return data
            parts = [data]
            got = len(data)
            while got < size:
                more = os.pread(self._fd, size - got, offset + got)
                if not more:
                    break
                parts.append(more)
                got += len(more)
            return b"".join(parts)

    def has_data(self, offset: int, size: int) -> bool:
        """See `File`."""
        with _translated(self.path):
            try:
                return os.lseek(self._fd, offset, os.SEEK_DATA) < offset + size
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return False

    def pwrite(self, data: Buffer, offset: int) -> None:
        """See `File`."""
        view = memoryview(data).cast("B")
        with _translated(self.path):
            while view:
                done = os.pwrite(self._fd, view, offset)
                view, offset = view[done:], offset + done

    def size(self) -> int:
        """See `File`."""
        with _translated(self.path):
            return os.fstat(self._fd).st_size

    def truncate(self, size: int) -> None:
        """See `File`."""
        with _translated(self.path):
            os.ftruncate(self._fd, size)

    def allocate(self, size: int) -> None:
        """See `File`."""
        with _translated(self.path):
            before = os.fstat(self._fd).st_size
            if size <= before:
                return
            try:
                os.posix_fallocate(self._fd, before, size - before)
            except OSError:
                os.ftruncate(self._fd, before)
                raise

    def sync(self) -> None:
        """See `File`."""
        with _translated(self.path):
            os.fdatasync(self._fd)  # the size, too, as far as data depends on it

    def close(self) -> None:
        """See `File`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with _translated(self.path):
                os.close(fd)


class OsLock:
    """A `Lock` by flock: it goes with the open file, so nothing is left of it on disk."""

    def __init__(self, path: str) -> None:
        with _translated(path):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._fd)
                raise in_use(path) from None
            except OSError:
                os.close(self._fd)
                raise

    def release(self) -> None:
        """See `Lock`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def in_use(path: str) -> AccessDenied:
    """Return the error for a file or folder that somebody else has locked."""
    return AccessDenied(
        "An instance uses it, in this program or in another one",
        jet=Jet.errFileAccessDenied,
        file=path,
        hint="Close that instance first.",
    )


class OsEnv:
    """The `Env` of the operating system. file: what stands for an open file."""

    _FLAGS: ClassVar[dict[Mode, int]] = {
        "read": os.O_RDONLY,
        "write": os.O_RDWR,
        "create": os.O_RDWR | os.O_CREAT | os.O_EXCL,
    }

    def __init__(self, file: type[OsFile] = OsFile) -> None:
        self._file = file

    def open(self, path: str, mode: Mode) -> File:
        """See `Env`."""
        with _translated(path):
            fd = os.open(path, self._FLAGS[mode] | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
            kind = os.fstat(fd).st_mode
        if not stat.S_ISREG(kind):  # a pipe without a writer would be waited for without end
            os.close(fd)
            what = "a folder" if stat.S_ISDIR(kind) else "no regular file"
            raise IoFailed(f"This is {what}", jet=Jet.errInvalidPath, file=path, hint=_NO_FILE)
        return self._file(path, fd)

    def exists(self, path: str) -> bool:
        """See `Env`."""
        return os.path.lexists(path)

    def is_dir(self, path: str) -> bool:
        """See `Env`."""
        return os.path.isdir(path)  # noqa: PTH112

    def identity(self, path: str) -> Hashable:
        """See `Env`."""
        with _translated(path):
            found = os.stat(path)  # noqa: PTH116
        return found.st_dev, found.st_ino

    def listdir(self, path: str) -> list[str]:
        """See `Env`."""
        with _translated(path):
            return sorted(os.listdir(path))  # noqa: PTH208

    def mkdir(self, path: str) -> None:
        """See `Env`."""
        with _translated(path):
            os.makedirs(path, exist_ok=True)  # noqa: PTH103

    def rename(self, old: str, new: str) -> None:
        """See `Env`."""
        with _translated(old):
            os.replace(old, new)  # noqa: PTH105

    def remove(self, path: str) -> None:
        """See `Env`."""
        with _translated(path):
            os.unlink(path)  # noqa: PTH108

    def remove_tree(self, path: str) -> None:
        """See `Env`."""
        with _translated(path), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)

    def sync_dir(self, path: str) -> None:
        """See `Env`."""
        with _translated(path):
            fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def copy(self, source: str, target: str) -> None:
        """See `Env`: reflink, else copy in the kernel; holes stay holes."""
        with _translated(source):
            src = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with _translated(target):
                dst = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                try:
                    unchanged = _copy_blocks(src, dst)
                finally:
                    os.close(dst)
        finally:
            os.close(src)
        if not unchanged:
            raise SourceChanged("The file changed while it was copied", file=source)

    def reread(self, path: str) -> None:
        """See `Env`."""
        with _translated(path):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    def lock(self, path: str) -> Lock:
        """See `Env`."""
        return OsLock(path)

    def now(self) -> dt.datetime:
        """See `Env`."""
        return dt.datetime.now(dt.UTC)

    def random(self, size: int) -> bytes:
        """See `Env`."""
        return secrets.token_bytes(size)


def _copy_blocks(src: int, dst: int) -> bool:
    """Share the blocks if the file system can, else copy them; tell if they are of one time."""
    try:
        fcntl.ioctl(dst, _FICLONE, src)
    except OSError:
        before = os.fstat(src)
        os.ftruncate(dst, before.st_size)
        for start, end in _data_ranges(src, before.st_size):
            os.lseek(dst, start, os.SEEK_SET)
            while start < end:
                done = os.sendfile(dst, src, start, min(end - start, 1 << 30))
                if not done:
                    return False
                start += done
        after = os.fstat(src)
        return (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return True


def _data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield first byte and end of what was ever written to a file of `size` bytes.

    The rest, such as room that a database took in advance, is zeros that lie on no disk.
    """
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # zeros up to the end, or the file was cut
        if start < end:
            yield start, end
