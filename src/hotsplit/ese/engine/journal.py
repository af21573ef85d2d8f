"""The one way to change a page: log a record, then apply it by the code that recovery runs.

`Journal.apply` is for all records but structure macros, `Journal.macro` for those. Both append to
the log first and then hand the very bytes to the replay kernel and to the handlers of redo. There
is no other code in the engine that changes a node.

Source: log specification 7.2, 4.8.
"""

from __future__ import annotations

import itertools
import struct

from hotsplit.errors import InstanceDown
from hotsplit.ese.engine.log.writer import LogWriter
from hotsplit.ese.engine.pages.cache import Cache
from hotsplit.ese.format.logrecord import decode
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.core import END, MISS, NEW, RECORD, Core
from hotsplit.ese.recovery.macros import carry_out
from hotsplit.ese.recovery.trees import HANDLERS

_MACRO = struct.Struct("<BHQ")
_INFO = struct.Struct("<BI")


class Journal:
    """Log and pages of one instance, changed together."""

    def __init__(self, log: LogWriter, core: Core, cache: Cache) -> None:
        self.log, self.core, self.cache = log, core, cache

    def note(self, record: bytes) -> int:
        """Log a record that changes nothing by itself; return its position."""
        return self.log.append(record)

    def session(self, record: bytes) -> int:
        """Log and apply a record of a session: begin, commit, rollback."""
        position = self.log.append(record)
        self._run(record, position)
        return position

    def apply(self, record: bytes, dbid: int, pgno: int) -> int:
        """Log and apply a record that changes one page, which is in memory, or makes pages."""
        position = self.log.append(record)
        self._run(record, position)
        self.cache.touch(dbid, pgno)
        return position

    def apply_run(self, data: bytes, ends: list[int], dbid: int, pages: list[int]) -> None:
        """Log and apply records that follow each other and change pages, which are in memory.

        ends: where each of them ends in `data`.
        """
        for pgno in pages:  # a log may end in the middle: they count already
            self.cache.touch(dbid, pgno)
        self._run(data, self.log.append_run(data, ends))

    def macro(
        self, procid: int, dbid: int, dbtime: int, records: list[bytes], pages: list[int]
    ) -> None:
        """Log and carry out a structure change; `pages` are all that it touches."""
        try:
            self._macro(procid, dbid, dbtime, records, pages)
        except BaseException as error:
            self.log.stop(error)
            raise

    def _macro(
        self, procid: int, dbid: int, dbtime: int, records: list[bytes], pages: list[int]
    ) -> None:
        parts = [_MACRO.pack(T.MACRO_BEGIN, procid, dbtime), *records]
        data, end = b"".join(parts), _MACRO.pack(T.MACRO_COMMIT, procid, dbtime)
        position = self.log.append_run(data, list(itertools.accumulate(map(len, parts))))
        content = struct.pack(f"<BI{len(pages)}I", dbid, len(pages), *pages)
        info = _INFO.pack(T.MACRO_INFO2, len(content)) + content
        self.log.append_together(end, info)
        if not self._carried_out(data + end, position):
            carry_out(self.cache, [decode(record) for record in records])
        for pgno in pages:
            self.cache.touch(dbid, pgno)

    def _carried_out(self, macro: bytes, position: int) -> bool:
        """Let the kernel carry out a macro; tell whether it is of a kind that it does."""
        self.core.feed(macro, position, 0, False)
        code = self.core.run()
        while code == NEW:
            self.cache.missing_new(*self.core.missing)
            code = self.core.run()
        return code == END

    def _run(self, record: bytes, position: int) -> None:
        """Apply a record. One that was logged and cannot be applied stops the instance."""
        try:
            self._apply(record, position)
        except BaseException as error:
            self.log.stop(error)
            raise

    def _apply(self, record: bytes, position: int) -> None:
        core = self.core
        core.feed(record, position, 0, False)
        code = core.run()
        while code == MISS:
            self.cache.load(*core.missing)
            code = core.run()
        if code == RECORD:
            handler = HANDLERS.get(record[0])
            if handler is not None:
                handler(self.cache, decode(record))
        elif code != END:
            raise InstanceDown(f"A record cannot be applied ({code}): {core.why}")
