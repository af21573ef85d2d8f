"""Long values that nothing refers to any more are not carried over.

Source: format specification 8.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hotsplit.errors import DataDamaged, Jet
from hotsplit.ese.format.longvalue import BEING_DELETED, LongValueRoot, split_key
from hotsplit.ese.format.page import Node
from hotsplit.ese.rebuild.builder import Batch


class LivingLongValues:
    """Filters the nodes of a long-value tree; `dropped` counts the long values left out."""

    def __init__(self) -> None:
        self.dropped = 0
        self._dead: int | None = None

    def batches(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield what belongs to long values that count references.

        Raises DataDamaged (-1526), as `lives` does.
        """
        self._dead = None
        for kind, nodes in batches:
            yield Batch(kind, filter(self.lives, nodes))

    def lives(self, node: Node) -> bool:
        """True for a node of such a long value; nodes must come in order."""
        try:
            lid, offset = split_key(node.key)
            if offset is None:
                references = LongValueRoot.unpack(node.data).references
                self._dead = lid if references in (0, BEING_DELETED) else None
                self.dropped += self._dead is not None
        except ValueError as error:
            raise DataDamaged(str(error), jet=Jet.errLVCorrupted) from error
        return lid != self._dead
