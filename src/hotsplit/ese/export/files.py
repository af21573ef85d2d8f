"""Files of an export: names that every system takes, and writing that leaves nothing half done."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.files.identify import spare

PART = ".part"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-{}()+=@, ")
_MOST = 200
_BUFFER, _BLOCK = 1 << 18, 1 << 20  # bytes


def file_name(name: str, taken: set[str] | None = None) -> str:
    """Return a file name, without suffix, for the name of a table.

    Characters that some system does not allow come as %XX; a name that would differ from one of
    `taken` in case only gets a number. The name is added to `taken`.
    """
    parts = [c if c in _PLAIN or (c == "." and i) else _escaped(c) for i, c in enumerate(name)]
    base = "".join(parts)[:_MOST].rstrip(" .") or "_"
    if taken is None:
        return base
    found, number = base, 2
    while found.casefold() in taken:
        found, number = f"{base}~{number}", number + 1
    taken.add(found.casefold())
    return found


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))


class Appender(io.RawIOBase):
    """A file of the environment as a Python file that can be written on at its end."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._end = 0

    def writable(self) -> bool:
        """Writing is all that can be done."""
        return True

    def write(self, data: Any) -> int:
        """Append bytes."""
        size = len(memoryview(data).cast("B"))
        self._file.pwrite(data, self._end)
        self._end += size
        return size

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._end


@contextlib.contextmanager
def replaced(env: Env, path: str) -> Iterator[io.BufferedWriter[Appender]]:
    """Write a file that gets its name only when all of it is on stable storage.

    Raises TargetExists if an ESE file has that name.
    """
    spare(env, path)
    with created(env, path + PART, sync=True) as file:
        yield file
    finish(env, path + PART, path)


@contextlib.contextmanager
def created(env: Env, path: str, *, sync: bool = False) -> Iterator[io.BufferedWriter[Appender]]:
    """Write a file, which is gone again if that fails. sync: it is on stable storage then."""
    if env.exists(path):
        env.remove(path)
    file = env.open(path, "create")
    try:
        buffered = io.BufferedWriter(Appender(file), _BUFFER)
        yield buffered
        buffered.flush()
        if sync:
            file.sync()
        file.close()
    except BaseException:
        with contextlib.suppress(HotsplitError):
            file.close()
            env.remove(path)
        raise


def join(env: Env, parts: Sequence[str], path: str) -> None:
    """Put files one behind the other into one, which gets its name when it is durable.

    The first of them becomes it; the others are removed.
    """
    file = env.open(parts[0], "write")
    try:
        end = file.size()
        for part in parts[1:]:
            end = _append(env, file, end, part)
            env.remove(part)
        file.sync()
    finally:
        file.close()
    finish(env, parts[0], path)


def _append(env: Env, file: File, end: int, part: str) -> int:
    """Write the content of another file at `end`; return the new end."""
    source = env.open(part, "read")
    try:
        at = 0
        while piece := source.pread(_BLOCK, at):
            file.pwrite(piece, end + at)
            at += len(piece)
    finally:
        source.close()
    return end + at


def finish(env: Env, unfinished: str, path: str) -> None:
    """Give a finished file its name, durably. Raises TargetExists if an ESE file has it."""
    spare(env, path)
    env.rename(unfinished, path)
    env.sync_dir(os.path.dirname(path) or ".")  # noqa: PTH120 - paths are plain strings
