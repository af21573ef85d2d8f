"""What all parts of one integrity check share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hotsplit.ese.check.findings import Findings, Report
from hotsplit.ese.check.pagemap import PageMap
from hotsplit.ese.check.pagereader import PageReader
from hotsplit.ese.check.space import Claimed, Parent, Space
from hotsplit.ese.check.treewalk import Guide, Prefetch, TreeSpec, TreeWalk, Walked
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.read.pages import CachedPages
from hotsplit.report import Reporter


@dataclass
class Totals:
    """What was seen. by_bookmark: indexes whose keys are not made, compared by bookmark.

    not_compared: indexes and long values that were not held against the rows, since a tree of
    theirs is damaged or a row's value cannot be had.
    """

    tables: int = 0
    trees: int = 0
    records: int = 0
    long_values: int = 0
    index_entries: int = 0
    deleted_nodes: int = 0
    by_bookmark: int = 0
    not_compared: int = 0


@dataclass
class Context:
    """One database under check.

    checked: object ids of the trees that were gone over whole and held against each other.
    """

    reader: PageReader
    pages: PageMap
    findings: Findings
    space: Space
    header: DatabaseHeader
    totals: Totals = field(default_factory=Totals)
    checked: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cached = CachedPages(self.reader.file)

    @property
    def page_size(self) -> int:
        """Bytes of a page."""
        return self.reader.page_size

    def claim(self, spec: TreeSpec, parent: Parent) -> Claimed:
        """Enter the pages of a tree; see `Space.claim`."""
        # The header of a database in use lags behind.
        if spec.objid > self.header.objid_last and not self.findings.dirty:
            message = f"{spec.name}: object id {spec.objid}; the header's last is"
            self.findings.add("P14b", f"{message} {self.header.objid_last}", spec.root)
        return self.space.claim(spec, parent)

    def walk(
        self,
        spec: TreeSpec,
        content: Any = None,
        *,
        reports: list[Report] | None = None,
        prefetch: Prefetch | None = None,
    ) -> Walked:
        """Check a tree for the first time; count what was seen."""
        walked = TreeWalk(
            self.reader,
            self.space.guide(spec.objid),
            self.findings,
            spec,
            content,
            reports=reports,
            prefetch=prefetch,
        ).run()
        self.totals.trees += 1
        self.totals.deleted_nodes += walked.deleted
        if walked.damaged:
            self.space.blind.add(spec.objid)
        if walked.deleted:
            message = f"{spec.name}: {walked.deleted} of {walked.nodes} nodes are flagged deleted"
            self.findings.add("T26", message, spec.root)
        return walked

    def walk_again(
        self,
        guide: Guide,
        spec: TreeSpec,
        content: Any,
        reports: list[Report],
        prefetch: Prefetch | None = None,
    ) -> None:
        """Go over a tree once more for its content; nothing is reported a second time."""
        silent = Findings(Reporter(limit=0), "", dirty=False)
        TreeWalk(
            self.reader, guide, silent, spec, content, reports=reports, prefetch=prefetch
        ).run()
