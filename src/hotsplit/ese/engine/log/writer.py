"""The log writer: records in, durable segments out; many commits in one write.

Three locks, always taken in this order: the caller's own (one appender at a time), `_io` (one
writer at a time), `_mutex` (the open segment; never held over a write). So records can be appended
while a flush waits for the disk, and the next flush is for all who came meanwhile (group commit):
see `turns`.

Source: log specification 1.3, 3.3, 7.3.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from hotsplit.errors import HotsplitError, InstanceDown, InvalidUse, Jet
from hotsplit.ese.engine.log.emit import Listener, LogData
from hotsplit.ese.engine.log.files import LogFiles
from hotsplit.ese.engine.log.progress import LogProgress
from hotsplit.ese.engine.log.segments import SegmentBuffer, seal
from hotsplit.ese.engine.log.turns import Turns
from hotsplit.ese.engine.settings import SEGMENT, Settings
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.attachments import Attachment
from hotsplit.ese.format.basics import LogPosition, LogTime
from hotsplit.ese.format.logsegment import SEGMENT_HEADER

_BYTE = 0xFFFF  # of a position: its place in the segment, 0 for the begin


class LogWriter:
    """One log stream, open for writing. Positions are numbers (generation, sector, byte).

    attachments, checkpoint: give what the header of a new log says.
    on_roll: called with a new generation before anything is logged to it.
    flushes, written: counts of flushes and of bytes.
    failure: why nothing can be logged any more, None while all is well.
    progress: how far the log is durable, for those who wait for it.
    """

    def __init__(self, env: Env, settings: Settings, files: LogFiles) -> None:
        self._env, self._settings, self.files = env, settings, files
        self.attachments: Callable[[], list[Attachment]] = list
        self.checkpoint: Callable[[], LogPosition] = lambda: LogPosition(1, 1, 0)
        self.on_roll: Callable[[int], None] = lambda _: None
        self.durable = 0
        self.progress = LogProgress()
        self.flushes = self.written = 0
        self.failure: HotsplitError | None = None
        self._turns = Turns()
        self._io = threading.Lock()
        self._mutex = threading.Lock()
        self._file: File | None = None
        self._checksum = 0
        self._listeners: list[list[Listener]] = []  # each of one, or none any more
        self._buffer = SegmentBuffer(0, settings.log_sectors)

    # Begin and end

    def begin_stream(self) -> None:
        """Begin a new stream with generation 1."""
        self._file = self.files.begin_stream()
        self._buffer = SegmentBuffer(1, self._settings.log_sectors)
        self._reached(self._buffer.end)

    def begin_generation(self, generation: int, checksum: int) -> None:
        """Go on in a new log, behind an archive whose segments have this checksum."""
        self._file = self.files.begin(generation, checksum, self.attachments(), self.checkpoint())
        self._buffer = SegmentBuffer(generation, self._settings.log_sectors)
        self._reached(self._buffer.end)

    def continue_stream(self, generation: int, sector: int, checksum: int) -> None:
        """Go on in the current log behind its last segment. checksum: of its segments so far."""
        self._file = self.files.open_current()
        self._buffer = SegmentBuffer(generation, self._settings.log_sectors, sector)
        self._checksum = checksum
        self._reached(self._buffer.end)

    def close(self) -> None:
        """Close the file; what was not flushed is lost."""
        self.progress.end(InstanceDown("The instance is closed"))
        if self._file is not None:
            if self.failure is None:
                with contextlib.suppress(HotsplitError):
                    self.files.put_back(self._file)
            self._file.close()
            self._file = None

    def _reached(self, position: int) -> None:
        self.durable = position
        self.progress.reached(position)

    def check(self) -> None:
        """Raise InstanceDown if a write has failed: what it held may be lost."""
        if self.failure is not None:
            raise down("stopped", self.failure)

    def stop(self, error: BaseException) -> None:
        """Log nothing any more: what was under way when `error` came is half done."""
        if not isinstance(error, HotsplitError):
            error = InstanceDown(f"Interrupted: {error!r}")
        self.failure = self.failure or error
        self.progress.end(down("stopped", self.failure))

    @contextlib.contextmanager
    def stopped_by_errors(self) -> Iterator[None]:
        """Do inside what must not be half done: whatever is raised there stops the log."""
        try:
            yield
        except BaseException as error:
            self.stop(error)
            raise

    # Shipping

    def emit_to(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener all that is written from now on, and first the current log so far.

        Returns what is called to tell it no more; the listener itself may call that, too.
        """
        with self._io:
            self.check()
            assert self._file is not None
            size = self._buffer.written * SEGMENT
            listener(LogData(self.generation, 0, self._file.pread(size, 0)))
            told = [listener]
            self._listeners = [*self._listeners, told]
        return told.clear

    def _emit(self, data: LogData) -> None:
        self._listeners = [told for told in self._listeners if told]
        for told in self._listeners:
            for listener in told:
                listener(data)

    # Records

    @property
    def generation(self) -> int:
        """The generation being written."""
        return self._buffer.generation

    @property
    def end(self) -> int:
        """Position behind the last record."""
        with self._mutex:  # a segment that is just being closed would hide its records
            return self._buffer.end

    def append(self, record: bytes) -> int:
        """Place a record; return its position. One caller at a time.

        Raises DiskFull, and InvalidUse (-517) for a record that no log file can hold.
        """
        with self._mutex:
            position = self._buffer.append_here(record)
        return position or self._append(len(record), record)

    def append_run(self, data: bytes, ends: list[int]) -> int:
        """Place records that follow each other; return the position of the first one.

        ends: where each of them ends in `data`. Raises as `append`; the first ones are placed then.
        """
        position = count = 0
        while count < len(ends):
            with self._mutex:
                end, placed = self._buffer.end, self._buffer.append_run(data, ends, count)
            if not placed:
                start = ends[count - 1] if count else 0
                end, placed = self.append(data[start : ends[count]]), 1
            position = position or end
            count += placed
        return position

    def append_together(self, *records: bytes) -> int:
        """Place records that must lie in the same file; return the position of the last one."""
        with self._mutex:
            position = self._buffer.append_here(b"".join(records))
        if position:
            start = 0 if position & _BYTE else SEGMENT_HEADER
            return position + start + sum(map(len, records[:-1]))
        return self._append(sum(map(len, records)) + SEGMENT, *records)

    def _append(self, size: int, *records: bytes) -> int:
        """Place records in a file that has room for `size` bytes; return the last position."""
        position = 0
        while not position:
            with self._mutex:  # held all the time: a flush closes the segment, which takes room
                if self._buffer.fits(size):
                    for record in records:
                        position = self._buffer.append(record)
            if not position:
                self._roll_for(size)
        return position

    def _roll_for(self, size: int) -> None:
        if not SegmentBuffer(0, self._settings.log_sectors).fits(size):
            raise InvalidUse(
                f"A log record of {size} bytes is too long for the log size",
                jet=Jet.errLogBufferTooSmall,
            )
        self.roll()

    def flush(self, position: int | None = None) -> None:
        """Return when the record at `position` (None: all records) is durable. Any thread.

        A position behind the last record stands for that.
        """
        wanted = self.end - 1 if position is None else position
        while self.durable <= wanted:
            try:
                if self._turns.take(wanted):
                    with self._io:
                        if self.durable <= wanted:
                            self._write()
                            wanted = min(wanted, self.durable - 1)
            finally:
                self._turns.give_on(self.durable)

    def _write(self) -> None:
        """Write and sync all segments; `_io` is held. After an error nothing more is written."""
        self.check()
        try:
            self._write_segments()
        except BaseException as error:
            self.stop(error)
            raise

    def _write_segments(self) -> None:
        with self._mutex:
            self._buffer.close_segment()
            first, bodies = self._buffer.take()
            generation, end = self._buffer.generation, self._buffer.end
        if bodies:
            started = LogTime.from_datetime(self._env.now()).pack()
            sealed = [
                seal(generation, sector, started, first, body)
                for sector, body in enumerate(bodies, first)
            ]
            assert self._file is not None
            self._file.pwrite(b"".join(sealed), first * SEGMENT)
            self._file.sync()
            if self._listeners:
                self._emit(LogData(generation, first, b"".join(sealed)))
            for segment in sealed:
                self._checksum ^= int.from_bytes(segment[:8], "little")
            self.flushes += 1
            self.written += len(sealed) * SEGMENT
        self._reached(end)

    def roll(self) -> None:
        """End the generation and begin the next one. The appender's call."""
        try:
            self._roll()
        except BaseException as error:
            self.stop(error)
            raise

    def _roll(self) -> None:
        with self._io:
            self._write()
            assert self._file is not None
            generation = self._buffer.generation + 1
            self.files.put_back(self._file)
            file = self.files.begin(
                generation, self._checksum, self.attachments(), self.checkpoint()
            )
            self._file.close()
            self._file, self._checksum = file, 0
            if self._listeners:
                self._emit(LogData(generation - 1, 0, b"", complete=True))
                self._emit(LogData(generation, 0, file.pread(SEGMENT, 0)))
            with self._mutex:
                self._buffer = SegmentBuffer(generation, self._settings.log_sectors)
                self._reached(self._buffer.end)
        self.on_roll(generation)


def down(how: str, why: HotsplitError) -> InstanceDown:
    """Return the error of all calls after an instance has come to an end by itself."""
    full = why.jet == Jet.errLogDiskFull
    jet = Jet.errInstanceUnavailableDueToFatalLogDiskFull if full else why.jet
    said = f"{why} ({why.jet.title}, {int(why.jet)})"
    error = InstanceDown(f"The instance is unavailable, it {how}: {said}", jet=jet)
    error.__cause__ = why
    return error
