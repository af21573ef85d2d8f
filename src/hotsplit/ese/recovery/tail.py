"""Whether the logs reach as far as the pages: the proof that no end of a required log is cut off.

A page is written only after the log records of its changes, so no page of a sound set is newer than
the last record. The engine does not look: it calls such a set clean, and it is corrupt.
"""

from __future__ import annotations

from hotsplit.errors import HotsplitError, LogsMissing
from hotsplit.ese.format.page import Page
from hotsplit.ese.recovery.store import Store

_BLOCK = 1 << 20
_DBTIME_WORD = 1  # the dbtime is the second 8-byte word of a page
_SPECIAL = 1 << 63  # from here on: marks of shrunk and reverted pages, not times


def newer_page(store: Store, dbtime: int) -> tuple[int, int] | None:
    """Return (page, its dbtime) of a sound page that is newer than `dbtime`; None if none is."""
    size = store.page_size
    step, words = max(1, _BLOCK // size), size // 8
    for first in range(1, store.page_count + 1, step):
        data = store.read_raw(first, min(step, store.page_count + 1 - first))
        times = memoryview(data[: len(data) // size * size]).cast("Q")[_DBTIME_WORD::words]
        if not len(times) or max(times) <= dbtime:
            continue
        for i, time in enumerate(times):
            if dbtime < time < _SPECIAL and _is_sound(store, first + i):
                return first + i, time
    return None


def _is_sound(store: Store, pgno: int) -> bool:
    try:
        return Page(bytearray(store.read_page(pgno)), pgno).problem() is None
    except HotsplitError:
        return False


def check_tail(store: Store, dbtime: int) -> None:
    """Raise LogsMissing (-543) if a page of `store` is newer than the last record's `dbtime`."""
    found = newer_page(store, dbtime)
    if found is not None:
        raise LogsMissing(
            f"The page was changed at dbtime {found[1]}, the logs end at {dbtime}: the end of the"
            " last required log is cut off or older than the database copy",
            file=store.path,
            position=f"page {found[0]}",
            hint="Capture the current log after the database, or bring its complete copy.",
        )
