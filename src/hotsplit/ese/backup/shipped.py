"""Logs that are shipped piece by piece: `E0000000012.jsl` grows with the log of the sender.

    receiver = LogReceiver(env, "standby", "E00")
    instance.context.log.emit_to(queue.put)  # at the sender
    receiver.take(queue.get())               # where the pieces arrive

A log that is complete gets its own name. When the sender is lost, `end_shipping` makes what came of
its last log the current log of the folder: all that the sender had written is then recovered.

Source: log specification 8.9.
"""

from __future__ import annotations

from hotsplit.errors import InvalidUse, Jet, LogSequenceBroken
from hotsplit.ese.engine.log.emit import LogData
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.logheader import LogHeader
from hotsplit.ese.format.logsegment import SEGMENT_SIZE
from hotsplit.ese.format.names import NameKind, file_name, parse_name
from hotsplit.ese.recovery.store import UNNAMED

_EXTENSION = "jsl"
_REWRITTEN = 2  # sectors in front of the next one where a piece may begin


class LogReceiver:
    """Takes the pieces of one stream. given_up: generations that came to no end before the next.

    generation: of the log that came last, 0 for none.
    """

    def __init__(self, env: Env, folder: str, base: str) -> None:
        self._env, self._folder, self._base = env, folder, base
        self.generation = self._next = 0
        self.given_up: list[int] = []
        self._file: File | None = None
        self._size = 0

    def _path(self, generation: int, extension: str = _EXTENSION) -> str:
        return f"{self._folder}/{file_name(self._base, generation, extension=extension)}"

    def take(self, piece: LogData) -> None:
        """Write a piece; durable on return.

        Raises LogSequenceBroken (-2601) for one that does not follow.
        """
        if not piece.complete and not piece.sector:
            self._begin(piece)
            return
        if self._file is None or piece.generation != self.generation:
            raise _out_of_order(piece)
        if piece.complete:
            self._complete()
            return
        if not max(1, self._next - _REWRITTEN) <= piece.sector <= self._next:
            raise _out_of_order(piece)
        self._write(piece)

    def _write(self, piece: LogData) -> None:
        assert self._file is not None
        end = piece.sector * SEGMENT_SIZE + len(piece.data)
        if end % SEGMENT_SIZE or end > self._size:
            raise _out_of_order(piece)
        self._file.pwrite(piece.data, piece.sector * SEGMENT_SIZE)
        self._file.sync()
        self._next = max(self._next, end // SEGMENT_SIZE)

    def _begin(self, piece: LogData) -> None:
        """A new log begins; one before it that is not complete is of no use any more."""
        header = LogHeader.unpack(piece.data)
        begins_anew = self._file is not None and piece.generation == self.generation
        follows = not self.generation or piece.generation == self.generation + 1
        whole = not len(piece.data) % SEGMENT_SIZE and len(piece.data) <= header.file_size
        if header.generation != piece.generation or not (whole and (follows or begins_anew)):
            raise _out_of_order(piece)
        if self._file is not None:
            self.close()
            if not begins_anew:
                self._env.remove(self._path(self.generation))
                self.given_up.append(self.generation)
        path = self._path(piece.generation)
        unnamed = path + UNNAMED  # what came before stays until this is durable
        if self._env.exists(unnamed):
            self._env.remove(unnamed)
        self._file, self.generation = self._env.open(unnamed, "create"), piece.generation
        self._size, self._next = header.file_size, 0
        self._write(piece)
        self._env.rename(unnamed, path)
        self._env.sync_dir(self._folder)

    def _complete(self) -> None:
        """The log is whole: behind its last segment are zeros, as at the sender."""
        assert self._file is not None
        self._file.truncate(self._size)
        self._file.sync()
        self.close()
        path = self._path(self.generation)
        self._env.rename(path, self._path(self.generation, "log"))
        self._env.sync_dir(self._folder)

    def close(self) -> None:
        """Let the file go; what has come stays."""
        if self._file is not None:
            self._file.close()
            self._file = None


def end_shipping(env: Env, folder: str, base: str) -> str:
    """Make the log that was not shipped to its end the current log; return its path.

    Raises InvalidUse if there is none, or only older ones than complete logs: receivers that were
    broken off leave those.
    """
    found = [(parse_name(name), name) for name in env.listdir(folder)]
    logs = [(log, name) for log, name in found if log is not None and log.is_of(base)]
    complete = max((log.generation for log, _ in logs if log.kind == NameKind.ARCHIVE), default=0)
    shipped = [
        (log.generation, name)
        for log, name in logs
        if log.kind == NameKind.SHIPPED and log.generation > complete
    ]
    current = f"{folder}/{file_name(base)}"
    if not shipped or env.exists(current):
        raise InvalidUse(
            "There is no log that is being shipped", jet=Jet.errMissingLogFile, file=folder
        )
    path = f"{folder}/{max(shipped)[1]}"
    file = env.open(path, "write")
    try:
        header = LogHeader.unpack(file.pread(SEGMENT_SIZE, 0))
        file.truncate(header.file_size)
        file.sync()
    finally:
        file.close()
    env.rename(path, current)
    env.sync_dir(folder)
    return current


def _out_of_order(piece: LogData) -> LogSequenceBroken:
    return LogSequenceBroken(
        f"A piece of log {piece.generation} at sector {piece.sector} does not follow",
        jet=Jet.errInvalidLogDataSequence,
    )
