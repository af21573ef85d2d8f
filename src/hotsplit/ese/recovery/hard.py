"""Hard recovery: what makes a streaming backup copy a database that logs can be replayed onto.

The copy was read while it changed; its trailer page says which logs make its pages consistent.
Source: log specification 8.4, 8.7.
"""

from __future__ import annotations

from hotsplit.ese.format.basics import LogTime
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.patch import Trailer
from hotsplit.ese.recovery.store import Store


def trailer_range(header: DatabaseHeader, trailer: Trailer) -> tuple[int, int]:
    """Return the generations that the copy needs: those of its header and of its trailer."""
    low, high = trailer.log_range
    lows = [g for g in (header.gen_min_required, trailer.gen_min_required, low) if g]
    highs = header.gen_max_required, trailer.gen_max_required, high
    return min(lows, default=0), max(highs)


def complete_header(store: Store, trailer: Trailer) -> None:
    """Enter the trailer's range in the header and take the trailer page away."""
    header = store.header
    low, high = trailer_range(header, trailer)
    # A backup's logs may begin before the database was attached; its own need did not.
    low = header.gen_min_required or low
    header.gen_min_required = header.gen_min_consistent = low
    header.gen_max_required = high
    header.gen_max_committed = max(header.gen_max_committed, trailer.gen_max_committed, high)
    # The times belonged to the old range; unset ones are not compared (6.3).
    header.gen_max_required_time = header.gen_max_create_time = LogTime()
    header.pre_redo_min_consistent = header.pre_redo_min_required = 0
    header.backup_full_current = header.backup_full_current._replace(high=high)
    store.zero(store.page_count, 1)
