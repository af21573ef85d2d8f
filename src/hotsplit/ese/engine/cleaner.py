"""Housekeeping: nodes that no view holds any more go, before images reach the log in time.

Source: log specification 6.5 (deferred before images).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotsplit.ese.engine.longvalues import LongValueTree
from hotsplit.ese.engine.merge import discard
from hotsplit.ese.engine.space import free_tree
from hotsplit.ese.engine.versions import Bookmark, VersionStore

if TYPE_CHECKING:
    from hotsplit.ese.engine.context import Context
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tree import Tree

_BACKLOG = 256


class Cleaner:
    """The version cleanup of an instance, in a session of its own. removed: nodes so far."""

    def __init__(self, context: Context, session: Session) -> None:
        self._context, self._session = context, session
        self.removed = 0

    def run_if_due(self) -> None:
        """Clean up once there is enough to do."""
        versions = self._context.versions
        if versions.dropped or len(versions.deleted) + len(versions.lowered) >= _BACKLOG:
            self.run()

    def run(self) -> None:
        """Remove all nodes, long values and trees that no view holds any more."""
        versions = self._context.versions
        while versions.deleted or versions.dropped or versions.lowered:
            self._session.begin()
            self._run_once(versions)
            self._session.commit(lazy=True)

    def _run_once(self, versions: VersionStore) -> None:
        """Remove what is known now; long values that nobody uses are deleted to be removed next."""
        while versions.dropped:
            free_tree(versions.dropped.popleft(), self._session)
        while versions.deleted:
            self._remove(*versions.deleted.popleft())
        while versions.lowered:
            tree, (key, _) = versions.lowered.popleft()
            if tree.dropped is None:
                LongValueTree(tree).remove_unused(self._session, key)

    def _remove(self, tree: Tree, bookmark: Bookmark) -> None:
        if bookmark in tree.versions or tree.dropped is not None:
            return  # somebody uses the node again, or the tree is gone
        found = tree.find(*bookmark)
        if found.exact and tree.node(found).is_deleted:
            discard(tree, self._session, *bookmark)
            self.removed += 1

    def log_before_images(self, dbid: int, objids: set[int]) -> None:
        """Log the before images of uncommitted changes in trees whose pages will be written."""
        for version in list(self._context.versions.without_image(dbid, objids)):
            tree = version.tree
            found = tree.find(*version.bookmark)
            tree.log_before_image(version.transaction.writer, version, found)
