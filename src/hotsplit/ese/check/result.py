"""What checking one file found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hotsplit.errors import Jet
from hotsplit.ese.files.identify import FileKind
from hotsplit.report import Finding, Reporter, Severity

OnRead = Callable[[int], None]
"""Called with the number of bytes after each read: the place to show progress or to slow down."""


@dataclass
class ScanResult:
    """Counts and findings for one file.

    pages: all page slots seen, headers and an all-zero page included (log: sectors; other files:
    blocks). bad: those that fail their checksum; wrong_page_number: how many of these were written
    for another number. highest_dbtime: of all sound pages, on page highest_page.
    flush_suspects: pages of a database that is in use or crashed whose flush type differs from a
    flush map; that is a lost write only if no log since the map's minimum touches the page.
    changed: the file changed while it was read.
    """

    path: str
    kind: FileKind
    reporter: Reporter
    pages: int = 0
    bad: int = 0
    correctable: int = 0
    uninitialized: int = 0
    wrong_page_number: int = 0
    highest_dbtime: int = 0
    highest_page: int = 0
    bytes: int = 0
    seconds: float = 0.0
    flush_suspects: list[int] = field(default_factory=list)
    changed: bool = False

    @property
    def is_damaged(self) -> bool:
        """True if something in the file cannot be used as it is nor corrected."""
        return self.reporter.worst() == Severity.ERROR

    @property
    def megabytes_per_second(self) -> float:
        """Speed in units of 10^6 bytes."""
        return self.bytes / 1e6 / self.seconds if self.seconds else 0.0

    def report(
        self,
        rule: str,
        severity: Severity,
        message: str,
        position: str,
        jet: Jet | None = None,
    ) -> None:
        """Add a finding about this file."""
        self.reporter.report(Finding(rule, severity, message, self.path, position, jet))
