"""Undo: what open transactions did is taken back, newest first. Source: log specification 6.6."""

from __future__ import annotations

from hotsplit._native.nodeedit_py import NodeEditor, undo_on_node
from hotsplit.errors import HotsplitError, Jet, RecoveryFailed
from hotsplit.ese.format.page import Page
from hotsplit.ese.recovery.core import PENDING, Version
from hotsplit.ese.recovery.goneversions import find_over
from hotsplit.ese.recovery.pages import PageAccess

_DEPTH = 32
_POINTER = 4  # bytes of a child's page number


def undo_all(pages: PageAccess) -> int:
    """Undo all open transactions, by session; return the number of operations undone.

    Raises RecoveryFailed (-1917) when a node or a before image is not there.
    """
    done = 0
    is_over = find_over(pages)
    for *_, versions in pages.core.open_sessions():
        for version in reversed(in_order(versions)):
            if version.dbid not in pages.stores:
                continue
            try:
                _undo(pages, version)
            except HotsplitError:
                if not is_over(version):
                    raise
            else:
                done += 1
    pages.core.reset_sessions()
    return done


def in_order(versions: list[Version]) -> list[Version]:
    """Order by number: an UndoInfo record may bring a version late. Numbers wrap around."""
    if not versions:
        return []
    first = versions[0].rceid
    return sorted(versions, key=lambda v: (v.level, (v.rceid - first + (1 << 31)) & 0xFFFFFFFF))


def _undo(pages: PageAccess, version: Version) -> None:
    if version.operation == PENDING:
        raise RecoveryFailed(
            f"The before image of operation {version.rceid} was never logged",
            jet=Jet.errRollbackError,
            hint="The logs end too early: bring the logs up to the capture of the database.",
        )
    page, i = _find(pages, version)
    try:
        undo_on_node(NodeEditor(page.data, i), version.operation, version)  # type: ignore[arg-type]
    except ValueError as error:
        raise RecoveryFailed(str(error), jet=Jet.errRollbackError) from error
    dbtime = pages.core.counters(version.dbid)[0] + 1
    pages.core.note(version.dbid, dbtime, 0)
    pages.changed(version.dbid, page, dbtime)


def _find(pages: PageAccess, version: Version) -> tuple[Page, int]:
    """Descend from the root to the node with the version's bookmark."""
    bookmark = version.key, b"" if version.unique else version.data
    pgno = version.fdp
    for _ in range(_DEPTH):
        page = Page(pages.load(version.dbid, pgno), pgno)
        if page.objid != version.objid:
            break  # it has another use by now
        nodes = page.nodes()
        if page.is_leaf:
            for i, node in enumerate(nodes):
                if (node.key, b"" if version.unique else node.data) == bookmark:
                    return page, i
            break
        whole = version.key if version.unique else version.key + version.data
        child = next((n for n in nodes if not n.key or n.key > whole), None)
        if child is None or len(child.data) != _POINTER:
            break
        pgno = int.from_bytes(child.data, "little")
    raise RecoveryFailed(
        f"The node to be undone is not in the tree of page {version.fdp}", jet=Jet.errRollbackError
    )
