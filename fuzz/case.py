"""One case: a seed set with a few things changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuzz.chance import Chance
from fuzz.database import DatabaseSpoiler
from fuzz.log import LogSpoiler, unchain
from fuzz.oldlog import spoil_old_log
from fuzz.seeds import Seed
from fuzz.smallfiles import spoil_bytes, spoil_checkpoint, spoil_flush_map
from hotsplit.errors import HotsplitError
from hotsplit.ese.files.identify import FileKind, recognise
from hotsplit.ese.format.header import choose_header
from hotsplit.ese.format.logheader import LogHeader

_CHANGES = (1, 1, 2, 3, 5)
_WEIGHTS = {FileKind.DATABASE: 40, FileKind.LOG: 6, FileKind.CHECKPOINT: 3, FileKind.FLUSH_MAP: 3}


@dataclass
class Case:
    """The files of a case by name; `changed` names those that are not as in the seed set."""

    seed: str
    number: int
    origin: str
    files: dict[str, bytes]
    changed: list[str]


def build(seed: str, number: int, seeds: list[Seed]) -> Case:
    """Return case `number` of a seed."""
    chance = Chance(f"{seed}-{number}")
    origin = seeds[0] if chance.once_in(4) else chance.choice(seeds)
    files = origin.load()
    kinds = {name: recognise(data[:65536], len(data)).kind for name, data in files.items()}
    weights = [_WEIGHTS.get(kind, 1) for kind in kinds.values()]
    changed = []
    for _ in range(chance.choice((1, 1, 2))):
        name = chance.choices(list(files), weights)[0]
        data = bytearray(files[name])
        for _ in range(chance.choice(_CHANGES)):
            _spoil(chance, kinds[name], data)
        files[name] = bytes(data)
        changed.append(name)
    if not chance.once_in(20):
        _unchain(files, kinds, changed)
    if len(files) > 1 and chance.once_in(20):
        del files[chance.choice(list(files))]
    return Case(seed, number, origin.name, files, changed)


def _unchain(files: dict[str, bytes], kinds: dict[str, FileKind], changed: list[str]) -> None:
    """Keep the chain of checksums from log to log from ending replay at the first change."""
    if any(kinds[name] == FileKind.LOG for name in changed):
        for name in files:
            if kinds[name] == FileKind.LOG:
                data = bytearray(files[name])
                unchain(data)
                files[name] = bytes(data)


def _spoil(chance: Chance, kind: FileKind, data: bytearray) -> None:
    if chance.once_in(40):
        spoil_bytes(chance, data)
    else:
        _SPOILERS.get(kind, spoil_bytes)(chance, data)


def _spoil_database(chance: Chance, data: bytearray) -> None:
    try:
        header = choose_header(bytes(data[:65536])).header
    except HotsplitError:  # an earlier change made it unreadable
        spoil_bytes(chance, data)
        return
    DatabaseSpoiler(chance, data, header.page_size).spoil()


def _spoil_log(chance: Chance, data: bytearray) -> None:
    try:
        header = LogHeader.unpack(bytes(data[:4096]))
    except HotsplitError:
        spoil_bytes(chance, data)
        return
    if header.has_segments:
        LogSpoiler(chance, data).spoil()
    else:
        spoil_old_log(chance, data)


_SPOILERS: dict[FileKind, Callable[[Chance, bytearray], None]] = {
    FileKind.DATABASE: _spoil_database,
    FileKind.LOG: _spoil_log,
    FileKind.CHECKPOINT: spoil_checkpoint,
    FileKind.FLUSH_MAP: spoil_flush_map,
}
