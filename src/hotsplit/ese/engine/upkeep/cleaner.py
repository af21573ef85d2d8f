"""Housekeeping: nodes that no view holds any more go, before images reach the log in time.

Source: log specification 6.5 (deferred before images).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from hotsplit.errors import DataDamaged, FileTruncated, HotsplitError, PageDamaged
from hotsplit.ese.engine.tables.longvalues import LongValueTree
from hotsplit.ese.engine.trees.merge import discard
from hotsplit.ese.engine.trees.space import free_tree
from hotsplit.ese.engine.trees.versions import Bookmark, VersionStore
from hotsplit.ese.files.opened import decoded

if TYPE_CHECKING:
    from hotsplit.ese.engine.context import Context
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.tree import Tree

_BACKLOG = 256


class Cleaner:
    """The version cleanup of an instance, in a session of its own.

    removed: nodes so far. on_damage: is told why something could not be removed.
    """

    def __init__(self, context: Context, session: Session) -> None:
        self._context, self._session = context, session
        self.removed = 0
        self.on_damage: Callable[[HotsplitError], None] = lambda _: None

    def run_if_due(self) -> None:
        """Clean up once there is enough to do."""
        versions = self._context.versions
        if versions.dropped or len(versions.deleted) + len(versions.lowered) >= _BACKLOG:
            self.run()

    def run(self) -> None:
        """Remove all nodes, long values and trees that no view holds any more.

        What cannot be removed because of damage stays, and `on_damage` is told.
        """
        versions = self._context.versions
        while versions.deleted or versions.dropped or versions.lowered:
            self._session.begin()
            try:
                self._run_once(versions)
            finally:
                if self._context.failure is None:
                    self._session.commit(lazy=True)

    def _run_once(self, versions: VersionStore) -> None:
        """Remove what is known now; long values that nobody uses are deleted to be removed next."""
        while versions.dropped:
            tree = versions.dropped.popleft()
            self._try(tree, functools.partial(free_tree, tree, self._session))
        while versions.deleted:
            tree, bookmark = versions.deleted.popleft()
            self._try(tree, functools.partial(self._remove, tree, bookmark))
        while versions.lowered:
            tree, (key, _) = versions.lowered.popleft()
            if tree.dropped is None:
                unused = LongValueTree(tree).remove_unused
                self._try(tree, functools.partial(unused, self._session, key))

    def _try(self, tree: Tree, work: Callable[[], None]) -> None:
        try:
            with decoded(tree.database.path):
                work()
            self._context.cache.trim()  # what was deleted at once may be more than memory holds
        except (PageDamaged, DataDamaged, FileTruncated) as error:
            if self._context.failure is not None:
                raise
            self.on_damage(error)

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
