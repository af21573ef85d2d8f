"""Labels: whether a row is live, and if not, where it was found and how far to trust it.

To every transaction only live rows exist. The others are remains: a deleted row keeps its place
until the engine cleans up, an unlinked page keeps its rows until it is used again, and bytes in
free space stay until something is written over them.
"""

from __future__ import annotations

import struct
from enum import IntEnum, StrEnum
from typing import NamedTuple


class State(StrEnum):
    """What has become of a row."""

    LIVE = "live"
    DELETED = "deleted"
    ORPHANED = "orphaned"
    CARVED = "carved"


class Confidence(StrEnum):
    """How far a row can be trusted to have existed as it is shown."""

    CERTAIN = "certain"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Label(IntEnum):
    """One kind of row. The numbers are those that batches carry; deleted ones are odd."""

    LIVE = 0
    DELETED = 1
    ORPHANED = 2
    ORPHANED_DELETED = 3
    FREED = 4
    FREED_DELETED = 5
    SLACK_NODE = 6
    SLACK_RECORD = 8

    @property
    def state(self) -> State:
        """What has become of the row."""
        return _MEANING[self].state

    @property
    def why(self) -> str:
        """How one can tell."""
        return _MEANING[self].why

    @property
    def confidence(self) -> Confidence:
        """How far to trust it."""
        return _MEANING[self].confidence


class _Meaning(NamedTuple):
    state: State
    why: str
    confidence: Confidence


_MEANING = {
    Label.LIVE: _Meaning(State.LIVE, "", Confidence.CERTAIN),
    Label.DELETED: _Meaning(State.DELETED, "the node carries the deleted flag", Confidence.HIGH),
    Label.ORPHANED: _Meaning(
        State.ORPHANED,
        "a leaf of the table that its tree does not reach; it may repeat rows that moved",
        Confidence.MEDIUM,
    ),
    Label.ORPHANED_DELETED: _Meaning(
        State.ORPHANED,
        "a node with the deleted flag on a leaf that the tree does not reach",
        Confidence.MEDIUM,
    ),
    Label.FREED: _Meaning(
        State.ORPHANED, "a page of the table that was given back", Confidence.MEDIUM
    ),
    Label.FREED_DELETED: _Meaning(
        State.ORPHANED,
        "a node with the deleted flag on a page that was given back",
        Confidence.MEDIUM,
    ),
    Label.SLACK_NODE: _Meaning(
        State.CARVED,
        "a whole node in the free space of a page; its key fits the record",
        Confidence.MEDIUM,
    ),
    Label.SLACK_RECORD: _Meaning(
        State.CARVED, "bytes in free space that have the form of a record", Confidence.LOW
    ),
}

INCLUDABLE = (State.DELETED, State.ORPHANED, State.CARVED)


class Origin(NamedTuple):
    """Where a row comes from: page, number of the node on it, and what it is.

    The node of a carved row is the offset in the page.
    """

    page: int
    node: int
    label: Label


def origins(places: bytes) -> list[Origin]:
    """Return the origin of each row of a batch from `Batch.places`."""
    return [
        Origin(page, node, Label(label)) for page, node, label in struct.iter_unpack("<IHH", places)
    ]
