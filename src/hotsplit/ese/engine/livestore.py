"""The file of a database in use: lost writes are noticed, wrong bits are put right on disk."""

from __future__ import annotations

from hotsplit.errors import HotsplitError
from hotsplit.ese.engine.flushmap import FlushMap
from hotsplit.ese.recovery.store import WorkStore
from hotsplit.report import Finding, Severity


class LiveStore(WorkStore):
    """See the module. flush_map: None where none is kept. Findings go to `reporter`."""

    flush_map: FlushMap | None = None

    def read_page(self, pgno: int) -> bytes:
        """Return a page, a wrong bit corrected here and on disk.

        Raises FileTruncated (-4001), PageDamaged (-1018, -1019, -1118, -1119).
        """
        data = super().read_page(pgno)
        if self.flush_map is not None:
            try:
                self.flush_map.check(pgno, data)
            except HotsplitError as error:
                error.file = self.path
                self._tell("lost-flush", Severity.ERROR, error, pgno)
                raise
        return data

    def mended(self, pgno: int, data: bytes) -> None:
        """Write a page whose wrong bit was corrected, as it was: no tear can make it worse."""
        try:
            self.file.pwrite(data, (pgno + 1) * self.page_size)
        except HotsplitError as error:
            self._tell("page-not-rewritten", Severity.WARNING, error, pgno)

    def _tell(self, rule: str, severity: Severity, error: HotsplitError, pgno: int) -> None:
        place = f"page {pgno}"
        self.reporter.report(Finding(rule, severity, error.message, self.path, place, error.jet))

    def write_page(self, pgno: int, data: bytearray) -> None:
        """Write a page and note its flush type."""
        super().write_page(pgno, data)
        if self.flush_map is not None:
            self.flush_map.note(pgno, data)

    def extend(self, last: int) -> None:
        """Make the file grow to page `last`, with space for all pages. Raises DiskFull."""
        self.file.allocate((last + 2) * self.page_size)

    def shrink(self, last: int) -> None:
        """Cut off what lies behind page `last`."""
        super().shrink(last)
        if self.flush_map is not None:
            self.flush_map.cut(last)

    def close(self) -> None:
        """Close the file and that of the flush map."""
        if self.flush_map is not None:
            self.flush_map.abandon()
        super().close()
