"""Files of an export: names that every system takes, and writing that leaves nothing half done."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import Env, File

PART = ".part"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-{}()+=@, ")
_MOST = 200
_BUFFER = 1 << 18  # bytes


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
    """Write a file that gets its name only when all of it is on stable storage."""
    unfinished = path + PART
    if env.exists(unfinished):
        env.remove(unfinished)
    file = env.open(unfinished, "create")
    try:
        buffered = io.BufferedWriter(Appender(file), _BUFFER)
        yield buffered
        buffered.flush()
        file.sync()
        file.close()
        finish(env, unfinished, path)
    except BaseException:
        with contextlib.suppress(HotsplitError):
            file.close()
            env.remove(unfinished)
        raise


def finish(env: Env, unfinished: str, path: str) -> None:
    """Give a finished file its name, durably."""
    env.rename(unfinished, path)
    env.sync_dir(os.path.dirname(path) or ".")  # noqa: PTH120 - paths are plain strings
