"""The trailer page of a streaming backup copy (``PATCHHDR``), also the first page of a .pat file.

Source: format specification 11.2; log specification 8.2.
"""

from __future__ import annotations

from hotsplit.errors import BackupNeedsRestore, Jet
from hotsplit.ese.format.checksum import header_checksum
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.layout import U32, Backup, Layout, Sign, Time


class Trailer(Layout):
    """Which logs make the copied pages consistent. `raw` is the whole page.

    gen_min_required and what follows are 0 in copies made by older engines; the range of `backup`
    counts then.
    """

    SIZE = 148
    checksum = U32(0)
    backup = Backup(40)
    db_signature = Sign(64)
    log_signature = Sign(92)
    gen_min_required = U32(120)
    gen_max_required = U32(124)
    gen_max_committed = U32(128)
    gen_max_required_time = Time(132)
    gen_max_create_time = Time(140)

    @property
    def log_range(self) -> tuple[int, int]:
        """Lowest and highest generation that a restore must replay."""
        return self.backup.low, max(self.backup.high, self.gen_max_committed)

    def sealed(self) -> bytes:
        """Return the page with a fresh checksum."""
        self.checksum = header_checksum(self.raw)
        return bytes(self.raw)


def read_trailer(page: bytes, header: DatabaseHeader) -> Trailer:
    """Read and check the trailer page of the database that `header` belongs to.

    Raises BackupNeedsRestore: -534 (no page there), -535 (bad checksum), -552 (another backup's).
    """
    if len(page) < header.page_size or not any(page):
        raise _unusable("The trailer page of the backup is missing", Jet.errMissingPatchPage)
    trailer = Trailer(page)
    if trailer.checksum != header_checksum(page):
        raise _unusable("The trailer page of the backup is damaged", Jet.errBadPatchPage)
    found = trailer.db_signature, trailer.log_signature, trailer.backup.mark
    if found != (header.db_signature, header.log_signature, header.backup_full_current.mark):
        raise _unusable(
            "The trailer page is not the one of this backup", Jet.errDatabasePatchFileMismatch
        )
    return trailer


def _unusable(message: str, jet: Jet) -> BackupNeedsRestore:
    return BackupNeedsRestore(
        message, jet=jet, position="trailer page", hint="Take the database from another backup."
    )
