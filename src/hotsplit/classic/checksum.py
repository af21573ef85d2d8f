"""Checksums of a file under the ruler, as both tools show them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hotsplit.classic.console import Console
from hotsplit.classic.progress import Reads
from hotsplit.errors import HotsplitError
from hotsplit.ese.check.scan import ScanResult, scan_file
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.checksum import page_state
from hotsplit.report import Finding, Reporter, Severity

TITLE = "Checksum Status (% complete)"
_SHOWN = 100_000
"""Findings of one kind that are shown; they are held in memory."""

_FAILED = ("page-checksum", "page-number", "page-unowned", "header-checksum")


@dataclass
class Checksums:
    """What was counted, and how the reads went."""

    result: ScanResult
    reads: Reads = field(repr=False)

    @property
    def is_good(self) -> bool:
        """True if nothing is wrong but single bits."""
        result = self.result
        wrong = result.bad or result.wrong_page_number or result.is_damaged
        return bool(result.pages) and not wrong


def file_size(env: Env, path: str) -> int:
    """Return the size of a file in bytes."""
    file = env.open(path, "read")
    try:
        return file.size()
    finally:
        file.close()


def run_checksums(console: Console, env: Env, path: str, title: str = TITLE) -> Checksums:
    """Verify a file under the ruler; what is wrong goes to the error stream.

    Raises what `scan_file` raises.
    """
    reads = Reads(console, file_size(env, path))
    reporter = Reporter(limit=_SHOWN, sink=_Sink(console, env, path))
    reads.ruler.begin(title)
    try:
        result = scan_file(env, path, reporter, reads)
    finally:
        reads.ruler.end()
    for rule, count in reporter.counts.items():
        if count > _SHOWN:
            console.error_line(f"ERROR: {count - _SHOWN} more of the kind {rule}")
    return Checksums(result, reads)


class _Sink:
    """Says what is wrong with a page in the words of the original."""

    def __init__(self, console: Console, env: Env, path: str) -> None:
        self._console, self._env, self._path = console, env, path

    def __call__(self, finding: Finding) -> None:
        """Print a finding; notes are none of the original's business."""
        if finding.severity != Severity.NOTE:
            self._console.error_line(self._text(finding))

    def _text(self, finding: Finding) -> str:
        place = finding.position
        if finding.rule in _FAILED:
            return f"ERROR: {place} checksum failed"
        if finding.rule == "page-correctable":
            bit = self._bit(int(place.rpartition(" ")[2]))
            what = f"the corruption ( bit {bit} ) can be corrected"
            return f"WARNING: {place} checksum verification failed but {what}"
        word = "ERROR" if finding.severity == Severity.ERROR else "WARNING"
        return f"{word}: {place}: {finding.message}"

    def _bit(self, pgno: int) -> int:
        """Return the bit that the original names; -1 for what is no database page any more."""
        try:
            with DatabaseFile.open(self._env, self._path) as file:
                bits = page_state(file.read_raw(pgno), pgno).bits
        except HotsplitError:
            return -1
        return bits[0] if bits else -1
