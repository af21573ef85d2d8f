"""What a new database is made from: checked to be fit for it, and to stay as it is meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from hotsplit.errors import BackupNeedsRestore, DirtyDatabase, SourceChanged
from hotsplit.ese.files.database import HEADER_BYTES, DatabaseFile
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.read.pages import PageSource

_CLEAN_STATES = (0, DbState.CLEAN_SHUTDOWN)  # old engines did not keep the state

OnPage = Callable[[int], None]
"""Called with the number of pages that were dealt with."""


def no_progress(_: int) -> None:
    """Tell nobody."""


class Pass:
    """One of several times that somebody goes over about as many pages as a database has.

    However many these are, `pages` are told of until `finish`.
    """

    def __init__(self, pages: int, tell: OnPage) -> None:
        self._left, self._tell = pages, tell

    def advance(self, pages: int) -> None:
        """Take down pages that were dealt with."""
        pages = min(pages, self._left)
        if pages:
            self._left -= pages
            self._tell(pages)

    def finish(self) -> None:
        """Take down that no more pages come."""
        self.advance(self._left)


def is_clean(header: DatabaseHeader) -> bool:
    """True for a database that needs no logs."""
    return header.state in _CLEAN_STATES and not header.has_trailer


def check_clean(header: DatabaseHeader, path: str) -> None:
    """Raise DirtyDatabase or BackupNeedsRestore for a database that needs its logs first."""
    if header.has_trailer:
        raise BackupNeedsRestore("A streaming backup copy that is not restored", file=path)
    if not is_clean(header):
        raise DirtyDatabase(
            "The database was not shut down cleanly",
            file=path,
            hint="Recover it first (hotsplit recover), or give --replay.",
        )


class Watched:
    """Notices when a file is written while it is read."""

    def __init__(self, source: PageSource) -> None:
        self._file = source.file if isinstance(source, DatabaseFile) else None
        self._before = self._mark()

    def _mark(self) -> tuple[int, bytes]:
        if self._file is None:
            return 0, b""
        return self._file.size(), self._file.pread(HEADER_BYTES, 0)

    def check(self) -> None:
        """Raise SourceChanged if the file is not what it was."""
        if self._mark() != self._before and self._file is not None:
            raise SourceChanged("The file changed while it was read", file=self._file.path)
