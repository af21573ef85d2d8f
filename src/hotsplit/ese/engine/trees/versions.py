"""Versions of nodes: what readers with an older view see, and what a rollback takes back.

Each change of a node by a transaction leaves a version, newest last, under the node's bookmark.
A version matters to readers until no transaction is left that began before it was committed.

Source: log specification 6.5; format specification 2.5 (uncommitted free space).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from hotsplit.errors import WriteConflict
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.recovery.core import DELTA, FLAG_DELETE, INSERT, REPLACE

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.chains import InsertRun
    from hotsplit.ese.engine.trees.tree import Tree

Bookmark = tuple[bytes, bytes]
"""Key and data of a node; data is empty in trees with unique keys."""

LOCK = -1
"""The operation of a version that keeps others from changing a node; nothing is logged of it."""

_FIRST = 1  # place in the order of transactions; a commit of 0 is none yet
_BEFORE_IMAGE = (REPLACE, FLAG_DELETE)


class Transaction:
    """What a session did since it began. begin, commit: places in the order of all transactions.

    writer: the session. commit: 0 while the transaction is open. dropped: trees that nobody needs
    any more once no view is left from before the commit. settling: what else is done then.
    is_settled: it is so; all see what the transaction did, and it is only remembered.
    without_image: versions whose before image is not in the log, and some where it is by now.
    """

    __slots__ = (
        "begin", "commit", "dropped", "is_settled", "settling", "versions", "without_image",
        "writer",
    )  # fmt: skip

    def __init__(self, begin: int, writer: Session) -> None:
        self.begin, self.writer = begin, writer
        self.commit = 0
        self.versions: list[Version | InsertRun] = []
        self.without_image: list[Version] = []
        self.dropped: list[Tree] = []
        self.settling: list[Callable[[], None]] = []
        self.is_settled = False

    def remember(self, version: Version) -> None:
        """Add a version, of a change that was just carried out."""
        self.versions.append(version)
        if version.operation in _BEFORE_IMAGE:
            self.without_image.append(version)

    def settle(self) -> None:
        """No view is left from before the commit."""
        self.is_settled = True
        for work in self.settling:
            work()
        self.versions, self.dropped, self.settling = [], [], []

    def sees(self, version: Version | InsertRun) -> bool:
        """Tell whether what `version` did is part of this transaction's view."""
        other = version.transaction
        return other is self or 0 < other.commit <= self.begin


class Version:
    """One change of one node.

    image: data before a REPLACE. delta, offset: of a DELTA. largest: most bytes of data that the
    node had in its transaction; reserve: what the change adds to the space kept for an undo.
    """

    count = 1

    __slots__ = (
        "bookmark", "delta", "image", "largest", "level", "offset", "operation", "rceid",
        "reserve", "transaction", "tree", "undo_logged",
    )  # fmt: skip

    def __init__(
        self, transaction: Transaction, tree: Tree, bookmark: Bookmark, operation: int, rceid: int,
        level: int, image: bytes = b"",
    ) -> None:  # fmt: skip
        self.transaction, self.tree, self.bookmark = transaction, tree, bookmark
        self.operation, self.rceid, self.level, self.image = operation, rceid, level, image
        self.delta = self.offset = self.largest = self.reserve = 0
        self.undo_logged = False


class VersionStore:
    """The order of transactions, and the versions that still matter."""

    def __init__(self) -> None:
        # What no view holds any more as it was. deleted: nodes flagged as deleted; dropped: such
        # trees; lowered: roots of long values that lost a reference.
        self._clock = _FIRST
        self._open: dict[Transaction, None] = {}
        self._ended: deque[Transaction] = deque()
        self.deleted: deque[tuple[Tree, Bookmark]] = deque()
        self.dropped: deque[Tree] = deque()
        self.lowered: deque[tuple[Tree, Bookmark]] = deque()

    def begin(self, writer: Session) -> Transaction:
        """Begin a transaction: its view is of now."""
        transaction = Transaction(self._clock, writer)
        self._open[transaction] = None
        return transaction

    def refresh(self, transaction: Transaction) -> None:
        """Let a transaction that changed nothing see all that was committed since it began."""
        transaction.begin = self._clock

    def commit(self, transaction: Transaction) -> None:
        """Make a transaction part of all views that begin from now on.

        One that changed nothing is part of those that there are, too: they are all the same.
        """
        if transaction.versions or transaction.settling:
            self._clock += 1
            self._ended.append(transaction)
        transaction.commit = self._clock
        self.end(transaction)

    def show_to_all(self, transaction: Transaction) -> None:
        """Make what was committed part of the views that there are, too."""
        transaction.commit = _FIRST

    def end(self, transaction: Transaction) -> None:
        """A transaction is over; drop what no view needs any more."""
        self._open.pop(transaction, None)
        transaction.without_image = []  # a transaction may be known for long
        oldest = next(iter(self._open)).begin if self._open else self._clock
        while self._ended and self._ended[0].commit <= oldest:
            ended = self._ended.popleft()
            self.dropped.extend(ended.dropped)
            for version in ended.versions:
                version.tree.versions.drop(version)
                if not isinstance(version, Version):
                    continue
                if version.operation == FLAG_DELETE:
                    self.deleted.append((version.tree, version.bookmark))
                elif version.delta < 0 and version.tree.kind & PageFlag.LONG_VALUE:
                    self.lowered.append((version.tree, version.bookmark))
            ended.settle()

    @property
    def open_transactions(self) -> list[Transaction]:
        """Transactions that are not over."""
        return list(self._open)

    def count(self) -> int:
        """Return how many versions are kept."""
        kept = (*self._open, *self._ended)
        return sum(version.count for one in kept for version in one.versions)

    def without_image(self, dbid: int, objids: set[int]) -> Iterator[Version]:
        """Yield uncommitted versions of these trees whose before image is not in the log yet."""
        for transaction in self._open:
            # Pages are written again and again: what was logged is not looked at each time.
            left = [v for v in transaction.without_image if not v.undo_logged]
            transaction.without_image = left
            for version in left:
                if version.tree.objid in objids and version.tree.database.dbid == dbid:
                    yield version


def check_conflict(
    transaction: Transaction, chain: Sequence[Version | InsertRun], operation: int
) -> None:
    """Raise WriteConflict if another transaction's change is not in this one's view.

    Changes by DELTA go together with each other. Whoever made any other change saw all before it.
    """
    for version in reversed(chain):
        if transaction.sees(version):
            if operation == DELTA or version.operation != DELTA:
                return
        elif not operation == version.operation == DELTA:
            raise WriteConflict("The row was changed by another transaction")


def seen(
    transaction: Transaction, chain: Sequence[Version], data: bytes, deleted: bool
) -> tuple[bytes, bool]:
    """Return (data, deleted) of a node as a transaction sees it."""
    for version in reversed(chain):
        if transaction.sees(version):
            if version.operation != DELTA:
                break  # whoever made it saw all before it
            continue
        if version.operation == INSERT:
            deleted = True
        elif version.operation == FLAG_DELETE:
            deleted = False
        elif version.operation == REPLACE:
            data = version.image
        elif version.operation == DELTA:
            at = version.offset
            value = int.from_bytes(data[at : at + 4], "little") - version.delta
            data = data[:at] + (value & 0xFFFFFFFF).to_bytes(4, "little") + data[at + 4 :]
    return data, deleted


def largest(chain: Sequence[Version]) -> int:
    """Return the most bytes that a node had in its open changes, 0 if none replaced its data.

    The newest of them knows.
    """
    for version in reversed(chain):
        if version.transaction.commit:
            if version.operation != DELTA:
                break
        elif version.largest:
            return version.largest
    return 0
