"""Reading pages for the check: checksums judged, single wrong bits corrected.

Source: format specification 2.3, 11.3 (flush map), 13.1 H 9, P 11, 12.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Protocol

from hotsplit.ese.check.findings import Findings
from hotsplit.ese.check.result import OnRead
from hotsplit.ese.files.flushmapfile import FlushMapFile
from hotsplit.ese.format.checksum import (
    RUN_GOOD,
    RUN_UNINITIALIZED,
    State,
    correct,
    page_state,
    scan_pages,
)
from hotsplit.ese.format.page import Page
from hotsplit.ese.read.pages import RunSource


class Tree(Protocol):
    """The tree that pages are read for."""

    @property
    def name(self) -> str:
        """Words for messages."""
        ...

    @property
    def objid(self) -> int:
        """Its object id."""
        ...


class PageReader:
    """The pages of one database as they lie, 1 to `last`.

    flush_map: knows how pages were last written; None if there is none that proves anything.
    """

    def __init__(self, file: RunSource, on_read: OnRead | None = None) -> None:
        self.file = file
        self.page_size = file.page_size
        self.last = file.page_count
        self.dbtime: int = file.header.dbtime
        self.bytes = 0
        self.flush_map: FlushMapFile | None = None
        self._on_read = on_read

    def read(
        self, first: int, count: int, tree: Tree, findings: Findings, barred: Set[int] = frozenset()
    ) -> Iterator[tuple[int, bytes | None]]:
        """Yield (page, data) of adjacent good pages, (page, None) of one that cannot be used.

        Breaches are reported as those of the tree. barred: pages that are left out.
        """
        size = self.page_size
        data = self.file.read_raw(first, count)
        self.bytes += len(data)
        if self._on_read is not None:
            self._on_read(len(data))
        if len(data) < count * size:  # the file shrank meanwhile
            data = data.ljust(count * size, b"\0")
        run = scan_pages(data, size, first)
        states = run.states
        if self.flush_map is not None:
            self._compare(run.flush_types, self.flush_map, first, tree, findings)
        if states.count(RUN_GOOD) == count and not barred:
            yield first, data
            return
        for i, state in enumerate(states):
            page, content = first + i, data[i * size : (i + 1) * size]
            if page in barred:
                yield page, None
            elif state == RUN_GOOD:
                yield page, content
            else:
                yield page, self._mend(page, content, state, tree, findings)

    @staticmethod
    def _compare(
        found: bytearray, flush_map: FlushMapFile, first: int, tree: Tree, findings: Findings
    ) -> None:
        """Report pages whose latest write did not reach the disk."""
        known = flush_map.flush_types(first, len(found))
        if found == known:
            return
        for page, (is_now, was_written) in enumerate(zip(found, known, strict=True), start=first):
            if is_now and was_written and is_now != was_written:
                what = f"the page has flush type {is_now}, the flush map says {was_written}"
                findings.add("H9", f"{tree.name}: {what}", page, objid=tree.objid)

    def _mend(
        self, page: int, data: bytes, run_state: int, tree: Tree, findings: Findings
    ) -> bytes | None:
        """Return the page corrected, or None; report either."""
        if run_state == RUN_UNINITIALIZED:
            findings.add("P11", f"{tree.name}: the page is all zero", page, objid=tree.objid)
            return None
        state = page_state(data, page)
        if state.state == State.CORRECTABLE:
            mended = correct(data, page)
            # More than two wrong bits can look like one: what lies on the page must make sense too.
            if Page(mended, page).problem() is None:
                bits = ", ".join(str(bit) for bit in state.bits)
                findings.add(
                    "P12b", f"{tree.name}: bit {bits} of the page is wrong", page, objid=tree.objid
                )
                return mended
        what = "the page fails its checksum"
        if state.state == State.WRONG_PAGE_NUMBER and state.claimed <= self.last:
            what = f"the page was written for page number {state.claimed}"
        findings.add("P12a", f"{tree.name}: {what}", page, objid=tree.objid)
        return None
