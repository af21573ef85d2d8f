"""A database file: header chosen, pages read, verified and corrected in memory.

Source: format specification 1.1, 1.2, 2.3.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from hotsplit.errors import FileTruncated, Jet, NotEseFile, PageDamaged
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.checksum import State, correct, page_state
from hotsplit.ese.format.header import DatabaseHeader, check_version, choose_header
from hotsplit.report import Finding, Reporter, Severity

_START = 65536  # both copies of the largest header


class DatabaseFile:
    """An open database, read only. Findings (corrections, a bad header copy) go to `reporter`."""

    def __init__(self, file: File, reporter: Reporter | None = None) -> None:
        self.file = file
        self.path = file.path
        self.reporter = reporter or Reporter()
        start = file.pread(_START, 0)
        if len(start) < 2 * 2048:
            raise NotEseFile(
                "The file is too short for a database",
                jet=Jet.errReadVerifyFailure,
                file=self.path,
            )
        try:
            choice = choose_header(start)
            check_version(choice.header)
        except NotEseFile as error:
            raise error.at(file=self.path) from None
        except Exception as error:
            error.at(file=self.path)  # type: ignore[attr-defined]
            raise
        self.header: DatabaseHeader = choice.header
        self.header_copy = choice.copy
        self.page_size: int = self.header.page_size
        if not choice.other_is_good or not choice.copies_equal:
            self._report("header-copy", f"The {choice.copy} header is used, the other one differs")

    @classmethod
    def open(cls, env: Env, path: str, reporter: Reporter | None = None) -> Self:
        """Open a file. Raises NotEseFile, HeaderDamaged, UnsupportedVersion, FileMissing."""
        file = env.open(path, "read")
        try:
            return cls(file, reporter)
        except BaseException:
            file.close()
            raise

    @property
    def has_trailer(self) -> bool:
        """True for a streaming backup copy: the last page is a trailer, not a numbered page."""
        backup = self.header.backup_full_current
        return bool(backup.low) and not backup.high

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
        state = page_state(data, pgno)
        if state.state == State.GOOD:
            return data
        if state.state == State.CORRECTABLE:
            bits = ", ".join(str(bit) for bit in state.bits)
            self._report("page-corrected", f"Bit {bits} of the page was wrong", pgno)
            return correct(data, pgno)
        jets = {
            State.UNINITIALIZED: Jet.errPageNotInitialized,
            State.WRONG_PAGE_NUMBER: Jet.errReadPgnoVerifyFailure,
        }
        raise PageDamaged(
            f"The checksum says: {state.state}",
            jet=jets.get(state.state, Jet.errReadVerifyFailure),
            file=self.path,
            position=f"page {pgno}",
        )

    def _report(self, rule: str, message: str, pgno: int = -1) -> None:
        position = f"page {pgno}" if pgno >= 0 else "header"
        self.reporter.report(Finding(rule, Severity.WARNING, message, self.path, position))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
