"""Whether an instance may attach a database: it must be clean and of the instance's page size.

Source: log specification 6.0 (states), 8.4 (backup copies).
"""

from __future__ import annotations

from hotsplit.errors import BackupNeedsRestore, DatabaseMismatch, DirtyDatabase, Jet
from hotsplit.ese.format.header import DatabaseHeader, DbState


def check_attachable(header: DatabaseHeader, path: str, page_size: int) -> None:
    """Raise DirtyDatabase (-550), BackupNeedsRestore (-544), DatabaseMismatch (-1213)."""
    if header.backup_full_current.low and header.state != DbState.CLEAN_SHUTDOWN:
        raise BackupNeedsRestore(
            "The database is a streaming backup copy that was not restored yet", file=path
        )
    if header.state != DbState.CLEAN_SHUTDOWN:
        raise DirtyDatabase("The database was not shut down cleanly", file=path)
    if header.page_size != page_size:
        raise DatabaseMismatch(
            f"The database has pages of {header.page_size} bytes, the instance of {page_size}",
            jet=Jet.errPageSizeMismatch,
            file=path,
            hint="Open an instance with the page size of the database.",
        )
