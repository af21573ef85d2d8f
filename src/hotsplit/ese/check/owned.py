"""How far into the file the database owns pages. Source: format specification 1.1, 5.4, 5.6."""

from __future__ import annotations

from typing import Protocol

from hotsplit.errors import HotsplitError
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.space import Extent

LEAST_PAGES = 3
"""What every database has: its root, and the trees of owned and free extents."""

_OWNED_ROOT = 2
_DEEPEST = 8


class Pages(Protocol):
    """Anything that yields verified pages by number."""

    def read_page(self, pgno: int, /) -> bytes:
        """Return a page. Raises a HotsplitError if it cannot be had undamaged."""
        ...


def last_owned_page(pages: Pages) -> int | None:
    """Return the last page of the root's owned-extent tree, None if the tree cannot be read."""
    pgno = _OWNED_ROOT
    try:
        for _ in range(_DEEPEST):
            page = Page(pages.read_page(pgno), pgno)
            if not page.flags & PageFlag.SPACE_TREE or page.problem() is not None:
                return None
            nodes = page.nodes()
            if page.is_leaf:
                live = [Extent.unpack(n.key, n.data).last for n in nodes if not n.is_deleted]
                return max(live, default=None)
            if not nodes:
                return None
            pgno = int.from_bytes(nodes[-1].data, "little")
    except (HotsplitError, ValueError):
        return None
    return None
