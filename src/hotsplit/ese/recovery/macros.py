"""Macros: records of one structure change, collected and carried out together.

Source: log specification 4.8.
"""

from __future__ import annotations

from hotsplit.errors import Jet, RecoveryFailed
from hotsplit.ese.format.logrecord import LogRecord
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.merge import redo_merge
from hotsplit.ese.recovery.pages import PageAccess
from hotsplit.ese.recovery.split import redo_split
from hotsplit.ese.recovery.trees import MACRO_HANDLERS

_SPLITS, _MERGES = (T.SPLIT, T.SPLIT2), (T.MERGE, T.MERGE2)


class Macros:
    """The open macros of all sessions."""

    def __init__(self, pages: PageAccess) -> None:
        self._pages = pages
        self._open: dict[tuple[int, int], list[LogRecord]] = {}

    def begin(self, record: LogRecord) -> None:
        """MacroBegin: collect from now on, if the session's transaction is replayed."""
        if self._pages.core.is_known(record.procid):
            self._open[record.procid, record.dbtime] = []
            self._pages.core.open_macro(record.procid, record.dbtime)

    def take(self, record: LogRecord) -> bool:
        """Keep a record if it belongs to an open macro; tell whether it does."""
        if not self._open:
            return False
        key = getattr(record, "procid", None), getattr(record, "dbtime", None)
        collected = self._open.get(key)  # type: ignore[arg-type]
        if collected is None:
            return False
        collected.append(record)
        return True

    def end(self, record: LogRecord) -> list[LogRecord]:
        """MacroCommit or MacroAbort: return what was collected."""
        self._pages.core.close_macro(record.procid, record.dbtime)
        return self._open.pop((record.procid, record.dbtime), [])

    def abandon(self) -> list[tuple[int, int]]:
        """Drop all open macros; return their (procid, dbtime), in order."""
        found = sorted(self._open)
        for macro in found:
            self._pages.core.close_macro(*macro)
        self._open.clear()
        return found

    def clear(self) -> None:
        """Drop all open macros."""
        self._open.clear()


def carry_out(pages: PageAccess, records: list[LogRecord]) -> None:
    """Carry out the records of a committed macro."""
    splits = [r for r in records if r.type in _SPLITS]
    merges = [r for r in records if r.type in _MERGES]
    others = [r for r in records if r.type not in _SPLITS and r.type not in _MERGES]
    if splits:
        redo_split(pages, splits, others[-1] if others else None)
    elif merges:
        redo_merge(pages, merges)
    else:
        for record in others:
            handler = MACRO_HANDLERS.get(record.type)
            if handler is None:
                raise RecoveryFailed(
                    f"A macro with {record.tag} alone is not understood", jet=Jet.errLogCorrupted
                )
            handler(pages, record)
