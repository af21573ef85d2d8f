"""What kind of ESE file a file is, told by its content, never by its name.

Source: format specification 1.4 (file type), 11; log specification 1.1, 2, 5.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import NamedTuple

from hotsplit.errors import TargetExists
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.checksum import header_checksum
from hotsplit.ese.format.legacylog import FILL

_START = 65536
_SIZES = (4096, 8192, 2048, 16384, 32768)
_MAGIC = 0x89ABCDEF
_TYPE_AT, _ATTRIBUTE_AT, _MAJOR_AT = 667, 12, 32
_LEAST_LOG = 65536


class FileKind(StrEnum):
    """Kinds of files of an ESE instance."""

    DATABASE = "database"
    STREAMING = "streaming file"
    LOG = "log"
    CHECKPOINT = "checkpoint"
    FLUSH_MAP = "flush map"
    RESERVE_LOG = "reserve log"
    SNAPSHOT = "revert snapshot"
    OTHER = "other ESE file"
    EMPTY = "empty"
    UNKNOWN = "not ESE"


_BY_TYPE = {
    1: FileKind.DATABASE,
    2: FileKind.STREAMING,
    3: FileKind.LOG,
    4: FileKind.CHECKPOINT,
    5: FileKind.DATABASE,
    7: FileKind.FLUSH_MAP,
    10: FileKind.SNAPSHOT,
}


class Identity(NamedTuple):
    """A kind, and whether a sound header was found that says so."""

    kind: FileKind
    sound: bool


def identify(env: Env, path: str) -> FileKind:
    """Return the kind of a file. Raises what the Env raises."""
    return examine(env, path).kind


def examine(env: Env, path: str) -> Identity:
    """Return the kind of a file, also when its header is damaged. Raises what the Env raises."""
    file = env.open(path, "read")
    try:
        return recognise(file.pread(_START, 0), file.size())
    finally:
        file.close()


def spare(env: Env, path: str) -> None:
    """Make sure that a result may be written to `path`, where it replaces what is there.

    Raises TargetExists if that is a database, log or other ESE file, whoever asks to overwrite it:
    results replace results, never what they were made of. Raises IoFailed if it is no file.
    """
    if not env.exists(path):
        return
    kind = identify(env, path)
    if kind not in (FileKind.EMPTY, FileKind.UNKNOWN):
        hint = "Choose another name for the result."
        raise TargetExists(f"This is an ESE file ({kind})", file=path, hint=hint)


def recognise(start: bytes, size: int) -> Identity:
    """Judge a file of `size` bytes by its first 65536 bytes."""
    if not start:
        return Identity(FileKind.EMPTY, True)
    if _is_blank(start) and size >= _LEAST_LOG and size % len(FILL) == 0:
        return Identity(FileKind.RESERVE_LOG, True)
    for length in _SIZES:
        for offset in (0, length):
            block = start[offset : offset + length]
            if len(block) == length and _is_sealed(block):
                kind = _kind_of(block, size)
                if kind is not None:
                    return Identity(kind, True)
    damaged = _kind_of(start, size) if len(start) >= 2048 else None
    if damaged not in (None, FileKind.OTHER) and _looks_right(start):
        return Identity(damaged, False)
    return Identity(FileKind.UNKNOWN, True)


def _is_blank(start: bytes) -> bool:
    return not any(start) or start == FILL * (len(start) // len(FILL))


def _is_sealed(block: bytes) -> bool:
    return any(block) and int.from_bytes(block[:4], "little") == header_checksum(block)


def _word(block: bytes, offset: int) -> int:
    value: int = struct.unpack_from("<I", block, offset)[0]
    return value


def _kind_of(block: bytes, size: int) -> FileKind | None:
    """Tell the kind from the file type; old files have 0 there and are told by other marks."""
    number = _word(block, _TYPE_AT)
    if number in _BY_TYPE:
        return _BY_TYPE[number]
    if number:
        return FileKind.OTHER if number <= 11 else None
    if _word(block, 4) == _MAGIC:
        return FileKind.STREAMING if _word(block, _ATTRIBUTE_AT) == 1 else FileKind.DATABASE
    if _word(block, _MAJOR_AT) in (5, 6, 7):
        return FileKind.LOG
    return FileKind.CHECKPOINT if size in (4096, 8192) else None


def _looks_right(start: bytes) -> bool:
    """Tell whether an unsealed block is a damaged header rather than chance: a mark must agree."""
    database = _word(start, 4) == _MAGIC and _word(start, 8) < 0x1000
    log = _word(start, _MAJOR_AT) in (7, 8) and _word(start, 36) in (3704, 4000)
    return database or log or (_word(start, _TYPE_AT) in (4, 7) and not any(start[656:667]))
