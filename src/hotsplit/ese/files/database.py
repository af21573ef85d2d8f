"""A database file: header chosen, pages read, verified and corrected in memory.

Source: format specification 1.1, 1.2, 2.3.
"""

from __future__ import annotations

from typing import Self

from hotsplit.errors import FileTruncated, Jet, PageDamaged
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.files.opened import Closing, closed_on_error, located
from hotsplit.ese.format.checksum import RUN_GOOD, State, correct, page_state, scan_pages
from hotsplit.ese.format.header import DatabaseHeader, check_version, choose_header
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.patch import Trailer, read_trailer
from hotsplit.report import Finding, Reporter, Severity

HEADER_BYTES = 65536
"""Both copies of the largest header."""


class DatabaseFile(Closing):
    """An open database, read only. Findings (corrections, a bad header copy) go to `reporter`."""

    def __init__(self, file: File, reporter: Reporter | None = None) -> None:
        self.file = file
        self.path = file.path
        self.reporter = reporter or Reporter()
        with located(self.path):
            choice = choose_header(file.pread(HEADER_BYTES, 0))
            check_version(choice.header)
        self.choice = choice
        self.header: DatabaseHeader = choice.header
        self.header_copy = choice.copy
        self.page_size: int = self.header.page_size
        if not choice.other_is_good:
            other = "shadow" if choice.copy == "primary" else "primary"
            self._report(
                "header-copy", f"The {other} copy of the header fails its checksum", "header"
            )

    @classmethod
    def open(cls, env: Env, path: str, reporter: Reporter | None = None) -> Self:
        """Open a file. Raises NotEseFile, HeaderDamaged, UnsupportedVersion, FileMissing."""
        file = env.open(path, "read")
        with closed_on_error(file):
            return cls(file, reporter)

    @property
    def has_trailer(self) -> bool:
        """True for a streaming backup copy: the last page is a trailer, not a numbered page."""
        return self.header.has_trailer

    @property
    def trailer(self) -> Trailer | None:
        """The trailer page of a streaming backup copy, None in other databases.

        Raises BackupNeedsRestore (-534, -535, -552) if it is missing, damaged or of another backup.
        """
        if not self.has_trailer:
            return None
        with located(self.path):
            return read_trailer(self.read_raw(self.page_count + 1), self.header)

    @property
    def page_count(self) -> int:
        """Number of numbered pages in the file."""
        return max(0, self.file.size() // self.page_size - 2 - self.has_trailer)

    def read_raw(self, pgno: int, count: int = 1) -> bytes:
        """Return the bytes of `count` pages as they are; fewer at the end of the file."""
        return self.file.pread(self.page_size * count, (pgno + 1) * self.page_size)

    def read_page(self, pgno: int) -> bytes:
        """Return a page, single-bit errors corrected.

        Raises FileTruncated (-4001), PageDamaged (-1018, -1019, -1118).
        """
        data = self.read_raw(pgno) if 0 < pgno <= self.page_count else b""
        if len(data) < self.page_size:
            raise FileTruncated(
                f"Page {pgno} lies beyond the end", file=self.path, position=f"page {pgno}"
            )
        if scan_pages(data, self.page_size, pgno).states[0] == RUN_GOOD:
            return data
        state = page_state(data, pgno)
        if state.state == State.CORRECTABLE:
            mended = correct(data, pgno)
            # More than two wrong bits can look like one: what lies on the page must make sense too.
            if Page(mended, pgno).problem() is None:
                bits = ", ".join(str(bit) for bit in state.bits)
                self._report("page-corrected", f"Bit {bits} of the page was wrong", f"page {pgno}")
                self.mended(pgno, mended)
                return mended
        raise PageDamaged(
            f"The page's checksum says: {state.state}",
            jet=state.jet or Jet.errReadVerifyFailure,
            file=self.path,
            position=f"page {pgno}",
        )

    def mended(self, pgno: int, data: bytes) -> None:
        """Take note of a page that was corrected in memory, to put it right where one may write."""

    def _report(self, rule: str, message: str, position: str) -> None:
        self.reporter.report(
            Finding(rule, Severity.WARNING, message, self.path, position, Jet.errReadVerifyFailure)
        )

    def close(self) -> None:
        """Close the file."""
        self.file.close()
