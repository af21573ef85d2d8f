"""Checksums of a run of pages, counted and reported."""

from __future__ import annotations

from hotsplit.ese.check.result import ScanResult
from hotsplit.ese.format.checksum import (
    RUN_SUSPECT,
    RUN_UNINITIALIZED,
    PageRun,
    State,
    correct,
    page_state,
    scan_pages,
)
from hotsplit.report import Severity


class PageCheck:
    """Judges runs of pages of one file into a `ScanResult`.

    last: highest page number that the file has. owned: highest one whose content means anything;
    what is wrong behind it is only a warning.
    """

    def __init__(self, result: ScanResult, page_size: int, last: int, owned: int) -> None:
        self._result = result
        self._size = page_size
        self._last = last
        self._owned = owned

    def take(self, data: bytes, first: int) -> PageRun:
        """Count whole pages, the first one being number `first`; report those that are not good."""
        run = scan_pages(data, self._size, first)
        result = self._result
        result.pages += len(run.states)
        result.uninitialized += run.states.count(RUN_UNINITIALIZED)
        if run.highest >= 0:
            self._note_dbtime(data, run.highest * self._size, first + run.highest)
        at = run.states.find(RUN_SUSPECT)
        while at >= 0:
            self._judge(self._page(data, at), first + at)
            at = run.states.find(RUN_SUSPECT, at + 1)
        return run

    def _page(self, data: bytes, index: int) -> bytes:
        return data[index * self._size : (index + 1) * self._size]

    def _note_dbtime(self, data: bytes, start: int, pgno: int) -> None:
        dbtime = int.from_bytes(data[start + 8 : start + 16], "little")
        if dbtime > self._result.highest_dbtime:
            self._result.highest_dbtime, self._result.highest_page = dbtime, pgno

    def _judge(self, page: bytes, pgno: int) -> None:
        state = page_state(page, pgno)
        where = f"page {pgno}"
        if state.state == State.CORRECTABLE:
            self._result.correctable += 1
            self._note_dbtime(correct(page, pgno), 0, pgno)
            bits = ", ".join(str(bit) for bit in state.bits)
            word = "Bit" if len(state.bits) == 1 else "Bits"
            message = f"{word} {bits} wrong; readers correct this in memory"
            self._result.report("page-correctable", Severity.WARNING, message, where)
            return
        self._result.bad += 1
        rule, message = "page-checksum", "The page fails its checksum"
        if state.state == State.WRONG_PAGE_NUMBER and state.claimed <= self._last:
            self._result.wrong_page_number += 1
            rule = "page-number"
            message = f"The page was written for page number {state.claimed}"
        severity = Severity.ERROR
        if pgno > self._owned:
            rule, severity = "page-unowned", Severity.WARNING
            message += f", but the database owns nothing behind page {self._owned}"
        self._result.report(rule, severity, message, where, state.jet)
