"""What a repair could not bring over, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.rebuild.longvaluemender import LostValue
from hotsplit.ese.rebuild.objects import FIXED_OBJIDS
from hotsplit.ese.rebuild.salvage import TreeSalvage

_LISTED = 1000
_NO_ROWS = PageFlag.INDEX | PageFlag.LONG_VALUE


class MendedRecord(NamedTuple):
    """A record that is not what it was. columns: names of those that changed; new_key: moved."""

    key: bytes
    columns: list[str]
    new_key: bool

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"key": self.key.hex(), "columns": self.columns, "new_key": self.new_key}


@dataclass
class TreeLoss:
    """One damaged tree. pages: that cannot be used; lost: about how many of its nodes are gone,
    None if nothing is left to go by.

    found: leaf pages that no pointer led to; unsound: records that do not hold together and were
    left out; repeated: older copies of nodes. action: what was done, in words. holds_rows: a table.
    lost_keys: of lost rows, as far as they are known; mended: records that were changed, of which
    mended_count in all; the first thousand of either are kept.
    """

    object: str
    objid: int
    pages: list[int] = field(default_factory=list)
    lost: int | None = 0
    found: int = 0
    unsound: int = 0
    repeated: int = 0
    action: str = ""
    holds_rows: bool = False
    lost_keys: list[bytes] = field(default_factory=list)
    mended: list[MendedRecord] = field(default_factory=list)
    mended_count: int = 0

    @property
    def lost_rows(self) -> bool:
        """True if rows of a table are lost, or values of them."""
        gone = self.lost is None or self.lost + self.unsound + self.mended_count > 0
        return self.holds_rows and gone

    def add_unsound(self, key: bytes) -> None:
        """Take down a record that was left out."""
        self.unsound += 1
        self.add_lost_key(key)

    def add_lost_key(self, key: bytes) -> None:
        """Take down the key of a lost row."""
        if len(self.lost_keys) < _LISTED:
            self.lost_keys.append(key)

    def add_mended(self, record: MendedRecord) -> None:
        """Take down a record that was changed."""
        self.mended_count += 1
        if len(self.mended) < _LISTED:
            self.mended.append(record)

    @classmethod
    def of(cls, salvage: TreeSalvage) -> TreeLoss:
        """Return what a salvage says."""
        pages = sorted({hole.page for hole in salvage.holes} | salvage.missing)
        return cls(
            salvage.tree.text,
            salvage.tree.objid,
            pages[:_LISTED],
            salvage.lost_nodes,
            len(salvage.found),
            repeated=salvage.repeated,
            holds_rows=not salvage.kind & _NO_ROWS and salvage.tree.objid not in FIXED_OBJIDS,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the loss for programs."""
        return {
            "object": self.object,
            "objid": self.objid,
            "pages": self.pages,
            "estimated_lost": self.lost,
            "leaves_found": self.found,
            "unsound_records": self.unsound,
            "lost_keys": [key.hex() for key in self.lost_keys],
            "mended_records": self.mended_count,
            "mended": [record.as_json() for record in self.mended],
            "repeated": self.repeated,
            "action": self.action,
        }


@dataclass
class Repaired:
    """What a repair did. rows: of the tables in the result, system tables included.

    damaged_pages: pages of the file that are not empty and cannot be read. trees: damaged ones.
    values: long values that are not whole, by table. left_out: indexes and tables that are not in
    the result. strangers: numbers of readable leaf pages by an object id that the catalog does not
    know; mostly rests of deleted tables. notes: anything else, in words.
    """

    path: str
    page_size: int
    pages_before: int
    was_clean: bool
    pages: int = 0
    tables: int = 0
    nodes: int = 0
    damaged_pages: list[int] = field(default_factory=list)
    trees: list[TreeLoss] = field(default_factory=list)
    values: dict[str, list[LostValue]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    strangers: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    signature: str = ""

    @property
    def lost_anything(self) -> bool:
        """True if the result lacks something that the database had."""
        rows = any(loss.lost_rows for loss in self.trees)
        return bool(rows or self.values or self.left_out or self.notes)

    def as_json(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "file": self.path,
            "page_size": self.page_size,
            "was_clean": self.was_clean,
            "pages_before": self.pages_before,
            "pages": self.pages,
            "tables": self.tables,
            "nodes": self.nodes,
            "damaged_pages": self.damaged_pages,
            "lost_anything": self.lost_anything,
            "trees": [loss.as_json() for loss in self.trees],
            "long_values": [
                {"table": table, "id": value.lid, "size": value.size, "lost_bytes": value.lost}
                for table, values in self.values.items()
                for value in values[:_LISTED]
            ],
            "left_out": self.left_out,
            "unknown_objects": [
                {"objid": objid, "leaf_pages": count} for objid, count in self.strangers.items()
            ],
            "notes": self.notes,
            "signature": self.signature,
        }
