"""An `Env` in memory that knows what would survive a crash.

Every file and every folder has two states: what programs see, and what is on stable storage. Writes
reach the second only by `sync` of the file, names only by `sync_dir` of the folder. `crashed` gives
the files as a machine may find them after it stopped: see `Crash`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import random
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from hotsplit.errors import DiskFull, FileMissing, IoFailed, Jet, SourceChanged, TargetExists
from hotsplit.ese.files.env import Buffer, File, Lock, Mode, in_use

SECTOR = 512
CHUNK = 64 * 1024
"""Bytes that one step of a copy writes."""


class Crash(StrEnum):
    """What became of the work that was not yet durable when the machine stopped."""

    ALL_KEPT = "all kept"
    ALL_LOST = "all lost"
    SOME_KEPT = "some kept"
    TORN = "torn"


@dataclass
class Write:
    """A write that is not durable yet. data: None for a change of the size to `offset`.

    number: tells it from all other writes.
    """

    offset: int
    data: bytes | None
    number: int = 0

    def apply(self, content: bytearray) -> None:
        """Carry the write out."""
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self) -> list[Write]:
        """Return the write as the device may carry it out: sector by sector."""
        if self.data is None:
            return [self]
        cuts = range(SECTOR - self.offset % SECTOR, len(self.data), SECTOR)
        edges = [0, *cuts, len(self.data)]
        return [
            Write(self.offset + start, self.data[start:end], self.number)
            for start, end in itertools.pairwise(edges)
        ]


_numbers = itertools.count(1)
Origin = tuple[int | tuple[int, int], ...]


@dataclass
class Content:
    """The bytes of a file. live: what programs see; durable: what is on stable storage.

    state, durable_state: numbers that tell contents apart: equal ones are of equal bytes.
    origin: of a file after a crash, what it is made of: equal ones are of equal bytes, too.
    """

    live: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write] = field(default_factory=list)
    origin: Origin = ()

    def __post_init__(self) -> None:
        self.state = self.durable_state = next(_numbers)

    def write(self, offset: int, data: bytes | None) -> None:
        """Change what programs see."""
        self.state = next(_numbers)
        write = Write(offset, data, self.state)
        write.apply(self.live)
        self.pending.append(write)

    def sync(self) -> None:
        """Make all writes durable."""
        for write in self.pending:
            write.apply(self.durable)
        self.pending = []
        self.durable_state = self.state

    def reread(self) -> None:
        """Let programs see what is on stable storage and what is on its way there, nothing else."""
        shown = bytearray(self.durable)
        for write in self.pending:
            write.apply(shown)
        if shown != self.live:
            self.live, self.state = shown, next(_numbers)

    def crashed(self, crash: Crash, rng: random.Random) -> Content:
        """Return the file as it may be after a crash."""
        origin: Origin = (self.state,)
        if crash == Crash.ALL_KEPT:
            content = bytearray(self.live)
        else:
            content = bytearray(self.durable)
            kept = self._surviving(crash, rng)
            origin = self.durable_state, *((w.number, w.offset) for w in kept)
            for write in kept:
                write.apply(content)
        return Content(content, bytearray(content), origin=origin)

    def _surviving(self, crash: Crash, rng: random.Random) -> list[Write]:
        """Choose the writes that reached the device, in the order in which they did."""
        if crash == Crash.ALL_LOST:
            return []
        writes = self.pending
        if crash == Crash.TORN:
            writes = [part for write in writes for part in write.sectors()]
        kept = [write for write in writes if rng.random() < 0.5]
        rng.shuffle(kept)
        return kept


Names = dict[str, "Folder | Content"]


@dataclass
class Folder:
    """A folder. live: the names that programs see; durable: those that a crash leaves."""

    live: Names = field(default_factory=dict)
    durable: Names = field(default_factory=dict)


@dataclass
class Naming:
    """A change of names that is not durable yet: all of it happens or nothing.

    gone, made: (folder, name) that end and that begin to name `node`.
    """

    node: Folder | Content
    gone: tuple[Folder, str] | None = None
    made: tuple[Folder, str] | None = None

    def touches(self, folder: Folder) -> bool:
        """Tell whether making the names of `folder` durable includes this change."""
        return any(end is not None and end[0] is folder for end in (self.gone, self.made))

    def apply(self, names_of: Callable[[Folder], Names]) -> None:
        """Carry the change out on the names that `names_of` gives for a folder."""
        if self.gone is not None:
            names_of(self.gone[0]).pop(self.gone[1], None)
        if self.made is not None:
            names_of(self.made[0])[self.made[1]] = self.node


class MemoryFile:
    """An open file of a `MemoryEnv`."""

    def __init__(self, env: MemoryEnv, path: str, content: Content, mode: Mode) -> None:
        self.path = path
        self._env = env
        self._content = content
        self._mode = mode
        self._open = True

    def _check(self, *, writing: bool = False) -> None:
        if not self._open:
            raise IoFailed("Bad file descriptor", file=self.path)
        if writing and self._mode == "read":
            raise IoFailed("Not open for writing", file=self.path)

    def pread(self, size: int, offset: int) -> bytes:
        """See `File`."""
        self._check()
        self._env.step("read", self.path)
        data = bytes(memoryview(self._content.live)[offset : offset + size])
        return self._env.filtered(self.path, offset, data)

    def has_data(self, offset: int, size: int) -> bool:
        """See `File`."""
        self._check()
        return any(memoryview(self._content.live)[offset : offset + size])

    def pwrite(self, data: Buffer, offset: int) -> None:
        """See `File`."""
        self._check(writing=True)
        self._env.step("write", self.path)
        self._env.check_room(self.path, offset + len(memoryview(data).cast("B")))
        self._content.write(offset, bytes(data))

    def size(self) -> int:
        """See `File`."""
        self._check()
        return len(self._content.live)

    def truncate(self, size: int) -> None:
        """See `File`."""
        self._check(writing=True)
        self._env.step("truncate", self.path)
        self._env.check_room(self.path, size)
        self._content.write(size, None)

    def allocate(self, size: int) -> None:
        """See `File`."""
        if size > self.size():
            self.truncate(size)

    def sync(self) -> None:
        """See `File`."""
        self._check()
        self._env.step("sync", self.path)
        self._content.sync()

    def close(self) -> None:
        """See `File`."""
        self._open = False


class MemoryLock:
    """A file or folder that is kept, in a `MemoryEnv`."""

    def __init__(self, kept: set[int], node: Folder | Content) -> None:
        self._kept, self._node = kept, node
        kept.add(id(node))

    def release(self) -> None:
        """See `Lock`."""
        self._kept.discard(id(self._node))


class MemoryEnv:
    """Files in memory. largest: bytes a file may have before the disk counts as full.

    The clock stands still and chance is the same in every run, so two runs give equal bytes.
    """

    def __init__(self, largest: int = 1 << 30) -> None:
        self.root = Folder()
        self._pending: list[Naming] = []
        self._largest = largest
        self._drawn = 0
        self._kept: set[int] = set()

    # What a subclass can interfere with

    def step(self, kind: str, path: str) -> None:
        """Be called before each operation."""

    def filtered(self, path: str, offset: int, data: bytes) -> bytes:
        """Return what a read of `data` gives."""
        return data

    def check_room(self, path: str, size: int) -> None:
        """Raise DiskFull for a file that is too large."""
        if size > self._largest:
            raise DiskFull("No space left on device", file=path)

    # For tests

    def put(self, path: str, data: bytes) -> None:
        """Make a durable file, and its folders."""
        folder, name = self._place(path, make=True)
        node = Content(bytearray(data), bytearray(data))
        folder.live[name] = folder.durable[name] = node

    def put_folder(self, path: str, source: Path) -> None:
        """Make durable copies of the files in a folder of the operating system."""
        for file in sorted(source.iterdir()):
            if file.is_file():
                self.put(f"{path}/{file.name}", file.read_bytes())

    def get(self, path: str) -> bytes:
        """Return what a file holds now, whatever faults there are."""
        return bytes(self._content(path).live)

    def files(self, path: str = "/") -> dict[str, bytes]:
        """Return all files below a folder by path, and what they hold."""
        node = self._find(path)
        if not isinstance(node, Folder):
            return {}
        return dict(_walk(node, path.rstrip("/")))

    def origins(self) -> frozenset[tuple[str, Origin]]:
        """Return what the files after a crash are made of; equal ones hold equal bytes."""
        return frozenset(_origins(self.root, ""))

    def crashed(self, crash: Crash, seed: int = 0) -> MemoryEnv:
        """Return an `Env` with the files as they may be after the machine stopped now.

        Of the names, those that are durable are there and the first few of the others: file systems
        keep the order of these.
        """
        rng = random.Random(seed)
        count = len(self._pending)
        some = rng.randint(0, count)
        kept = {Crash.ALL_KEPT: count, Crash.ALL_LOST: 0}.get(crash, some)
        changed: dict[int, Names] = {}

        def names_of(folder: Folder) -> Names:
            return changed.setdefault(id(folder), dict(folder.durable))

        for naming in self._pending[:kept]:
            naming.apply(names_of)
        after = MemoryEnv(self._largest)
        after.root = _crashed(self.root, names_of, crash, rng)
        return after

    # Names

    def _parts(self, path: str) -> list[str]:
        return [part for part in path.split("/") if part not in ("", ".")]

    def _find(self, path: str) -> Folder | Content | None:
        node: Folder | Content | None = self.root
        for part in self._parts(path):
            node = node.live.get(part) if isinstance(node, Folder) else None
        return node

    def _folder(self, path: str) -> Folder:
        node = self._find(path)
        if not isinstance(node, Folder):
            raise FileMissing("No such file or directory", file=path)
        return node

    def _content(self, path: str) -> Content:
        node = self._find(path)
        if node is None:
            raise FileMissing("No such file or directory", file=path)
        if isinstance(node, Folder):
            raise IoFailed("This is a folder", jet=Jet.errInvalidPath, file=path)
        return node

    def _place(self, path: str, *, make: bool = False) -> tuple[Folder, str]:
        """Return the folder of a path and the name in it."""
        *above, name = self._parts(path)
        folder = self.root
        for part in above:
            node = folder.live.get(part)
            if node is None and make:
                node = folder.live[part] = folder.durable[part] = Folder()
            if not isinstance(node, Folder):
                raise FileMissing("No such file or directory", file=path)
            folder = node
        return folder, name

    def _make(self, path: str, node: Folder | Content) -> None:
        folder, name = self._place(path)
        if name in folder.live:
            raise TargetExists("File exists", file=path)
        folder.live[name] = node
        self._pending.append(Naming(node, made=(folder, name)))

    # The port

    def open(self, path: str, mode: Mode) -> File:
        """See `Env`."""
        self.step("create" if mode == "create" else "open", path)
        if mode == "create":
            self._make(path, Content())
        return MemoryFile(self, path, self._content(path), mode)

    def exists(self, path: str) -> bool:
        """See `Env`."""
        return self._find(path) is not None

    def is_dir(self, path: str) -> bool:
        """See `Env`."""
        return isinstance(self._find(path), Folder)

    def identity(self, path: str) -> Hashable:
        """See `Env`."""
        return id(self._content(path))

    def listdir(self, path: str) -> list[str]:
        """See `Env`."""
        self.step("list", path)
        return sorted(self._folder(path).live)

    def mkdir(self, path: str) -> None:
        """See `Env`."""
        parts = self._parts(path)
        for depth in range(1, len(parts) + 1):
            above = "/" + "/".join(parts[:depth])
            if not self.exists(above):
                self.step("mkdir", above)
                self._make(above, Folder())
        if not self.is_dir(path):
            raise TargetExists("File exists", file=path)

    def rename(self, old: str, new: str) -> None:
        """See `Env`."""
        self.step("rename", old)
        source, old_name = self._place(old)
        target, new_name = self._place(new)
        node = source.live.get(old_name)
        if node is None:
            raise FileMissing("No such file or directory", file=old)
        if self._parts(new) == self._parts(old):
            return
        self._check_rename(old, new, node, target.live.get(new_name))
        del source.live[old_name]
        target.live[new_name] = node
        self._pending.append(Naming(node, (source, old_name), (target, new_name)))

    def _check_rename(
        self, old: str, new: str, node: Folder | Content, there: Folder | Content | None
    ) -> None:
        if self._parts(new)[: len(self._parts(old))] == self._parts(old):
            raise IoFailed("Invalid argument", file=old)
        if isinstance(there, Content) and isinstance(node, Folder):
            raise FileMissing("Not a directory", file=old)
        if isinstance(there, Folder) and (there.live or isinstance(node, Content)):
            raise TargetExists("Directory not empty", file=old)

    def remove(self, path: str) -> None:
        """See `Env`."""
        self._content(path)
        self._unlink(path)

    def _unlink(self, path: str) -> None:
        self.step("remove", path)
        folder, name = self._place(path)
        self._pending.append(Naming(folder.live.pop(name), gone=(folder, name)))

    def remove_tree(self, path: str) -> None:
        """See `Env`: one name after the other, the folder last."""
        node = self._find(path)
        if node is None:
            return
        for name in sorted(self._folder(path).live):
            below = f"{path}/{name}"
            if self.is_dir(below):
                self.remove_tree(below)
            else:
                self._unlink(below)
        self._unlink(path)

    def sync_dir(self, path: str) -> None:
        """See `Env`."""
        self.step("sync_dir", path)
        folder = self._folder(path)
        # A node that moves out of another folder takes its earlier changes of name with it.
        nodes = {id(naming.node) for naming in self._pending if naming.touches(folder)}
        for naming in self._pending:
            if id(naming.node) in nodes:
                naming.apply(lambda changed: changed.durable)
        self._pending = [naming for naming in self._pending if id(naming.node) not in nodes]

    def copy(self, source: str, target: str) -> None:
        """See `Env`: in steps, each of which can be the last."""
        self.step("open", source)
        origin, made = self._content(source), Content()
        self.step("create", target)
        self._make(target, made)
        before = bytes(origin.live)
        for offset in range(0, len(before), CHUNK):
            self.step("read", source)
            self.step("copy", target)
            self.check_room(target, len(before))
            made.write(offset, bytes(origin.live[offset : offset + CHUNK]))
        if origin.live != before:
            raise SourceChanged("The file changed while it was copied", file=source)

    def reread(self, path: str) -> None:
        """See `Env`."""
        self.step("open", path)
        self._content(path).reread()

    def lock(self, path: str) -> Lock:
        """See `Env`."""
        self.step("lock", path)
        node = self._find(path)
        if node is None:
            raise FileMissing("No such file or directory", file=path)
        if id(node) in self._kept:
            raise in_use(path)
        return MemoryLock(self._kept, node)

    def now(self) -> dt.datetime:
        """See `Env`."""
        return dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def random(self, size: int) -> bytes:
        """See `Env`."""
        self._drawn += 1
        return hashlib.shake_128(str(self._drawn).encode()).digest(size)


def _crashed(
    folder: Folder, names_of: Callable[[Folder], Names], crash: Crash, rng: random.Random
) -> Folder:
    after = Folder()
    for name, node in sorted(names_of(folder).items()):
        if isinstance(node, Folder):
            after.live[name] = _crashed(node, names_of, crash, rng)
        else:
            after.live[name] = node.crashed(crash, rng)
    after.durable = dict(after.live)
    return after


def _walk(folder: Folder, path: str) -> Iterator[tuple[str, bytes]]:
    for name, node in sorted(folder.live.items()):
        if isinstance(node, Folder):
            yield from _walk(node, f"{path}/{name}")
        else:
            yield f"{path}/{name}", bytes(node.live)


def _origins(folder: Folder, path: str) -> Iterator[tuple[str, Origin]]:
    for name, node in folder.live.items():
        if isinstance(node, Folder):
            yield f"{path}/{name}", ()
            yield from _origins(node, f"{path}/{name}")
        else:
            yield f"{path}/{name}", node.origin
