"""An `Env` that goes wrong as told: see `FaultEnv`."""

from __future__ import annotations

from collections.abc import Callable

from hotsplit.errors import AccessDenied, DiskFull, HotsplitError, IoFailed
from tests.memoryenv import MemoryEnv

GROWING = ("write", "truncate", "create", "mkdir", "copy")
"""Operations that a full disk refuses."""

CHANGING = (*GROWING, "sync", "rename", "remove", "sync_dir")
"""Operations that change something or make it durable: the ones that are counted."""


class Killed(BaseException):
    """The process ends here: nothing may catch this and go on."""


class FaultEnv(MemoryEnv):
    """Files in memory, and faults set by the attributes and methods below.

    changes: operations of `CHANGING` so far, as (kind, path). kill_at: number (from 1) of the
    change before which the process ends; all changes after it are refused too: no clean-up runs.
    quota: bytes that all files may have together; what is there already can be overwritten.
    """

    def __init__(self, largest: int = 1 << 30) -> None:
        super().__init__(largest)
        self.changes: list[tuple[str, str]] = []
        self.reads: dict[str, int] = {}
        self.kill_at: int | None = None
        self.quota: int | None = None
        self._failing: tuple[int, tuple[str, ...], type[HotsplitError]] | None = None
        self._failing_once: int | None = None
        self._unreadable: dict[str, int] = {}
        self._denied: set[str] = set()
        self._flipped: dict[str, set[int]] = {}
        self._on_read: dict[tuple[str, int], Callable[[], None]] = {}

    @classmethod
    def over(cls, env: MemoryEnv) -> FaultEnv:
        """Take over the files of another environment, which is of no use after that."""
        made = cls(env._largest)
        made.root = env.root
        return made

    # Faults

    def fill_disk(self, at: int) -> None:
        """Let no file grow from change number `at` on (ENOSPC)."""
        self._failing = at, GROWING, DiskFull

    def break_device(self, at: int) -> None:
        """Refuse all changes from change number `at` on (EIO)."""
        self._failing = at, CHANGING, IoFailed

    def break_once(self, at: int) -> None:
        """Refuse change number `at` alone (EIO); a sync that fails so is in vain, as on Linux.

        What it was for is not written by the next one either, which succeeds.
        """
        self._failing_once = at

    def break_reads(self, path: str, at: int) -> None:
        """Refuse reads of a file from its read number `at` (from 1) on (EIO)."""
        self._unreadable[path] = at

    def deny(self, path: str) -> None:
        """Refuse to open a file or to list a folder (EACCES)."""
        self._denied.add(path)

    def flip(self, path: str, bit: int) -> None:
        """Give a wrong bit, counted from the start of the file, on every read."""
        self._flipped.setdefault(path, set()).add(bit)

    def on_read(self, path: str, at: int, change: Callable[[bytearray], None]) -> None:
        """Let another program change a file's bytes just before its read number `at`."""
        self._on_read[path, at] = lambda: change(self._content(path).live)

    def used(self) -> int:
        """Return the bytes of all files together."""
        return sum(map(len, self.files().values()))

    # What MemoryEnv asks

    def check_room(self, path: str, size: int) -> None:
        """See `MemoryEnv`."""
        super().check_room(path, size)
        if self.quota is not None:
            more = size - len(self._content(path).live)
            if more > 0 and self.used() + more > self.quota:
                raise DiskFull("No space left on device", file=path)

    def step(self, kind: str, path: str) -> None:
        """See `MemoryEnv`."""
        if kind in CHANGING:
            self._change(kind, path)
        elif kind == "read":
            self._read(path)
        if path in self._denied and kind in ("open", "list", "create"):
            raise AccessDenied("Permission denied", file=path)

    def _change(self, kind: str, path: str) -> None:
        number = len(self.changes) + 1
        if self.kill_at is not None and number >= self.kill_at:
            raise Killed
        self.changes.append((kind, path))
        if number == self._failing_once:
            if kind == "sync":
                self._content(path).pending.clear()
            raise IoFailed("Input/output error", file=path)
        if self._failing is not None:
            first, kinds, error = self._failing
            if number >= first and kind in kinds:
                text = "No space left on device" if error is DiskFull else "Input/output error"
                raise error(text, file=path)

    def _read(self, path: str) -> None:
        number = self.reads[path] = self.reads.get(path, 0) + 1
        change = self._on_read.get((path, number))
        if change is not None:
            change()
        if number >= self._unreadable.get(path, number + 1):
            raise IoFailed("Input/output error", file=path)

    def filtered(self, path: str, offset: int, data: bytes) -> bytes:
        """See `MemoryEnv`."""
        bits = [b - offset * 8 for b in self._flipped.get(path, ())]
        wrong = [b for b in bits if 0 <= b < len(data) * 8]
        if not wrong:
            return data
        changed = bytearray(data)
        for bit in wrong:
            changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)
