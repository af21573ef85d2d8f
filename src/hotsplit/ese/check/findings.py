"""Turning breaches of rules into findings of one database."""

from __future__ import annotations

from hotsplit.ese.check.messages import explain
from hotsplit.ese.check.rules import RULES
from hotsplit.report import Finding, Reporter, Severity

_HARD = ("H", "P12a")
"""Breaches that are damage in a dirty database too."""

Report = tuple[int, int, int, int, int]
"""(code, page, node or -1, a, b): what the kernel says."""


class Findings:
    """Takes breaches and hands them to the reporter.

    dirty: the database was not shut down cleanly, so what does not fit together may only be of
    different times: errors become warnings, but not those about the file and its checksums.
    faults: ids of the rules that each object breaks, by object id.
    """

    def __init__(self, reporter: Reporter, path: str, *, dirty: bool) -> None:
        self.reporter = reporter
        self._path = path
        self.dirty = dirty
        self.faults: dict[int, set[str]] = {}

    def add(
        self, rule_id: str, message: str, page: int = 0, node: int = -1, objid: int = 0
    ) -> None:
        """Take one breach. page: 0 for none. node: number of the node on the page, -1 for none.

        objid: the tree that breaks the rule, if one tree does.
        """
        rule = RULES[rule_id]
        if objid:
            self.faults.setdefault(objid, set()).add(rule_id)
        severity = rule.severity
        if self.dirty and severity == Severity.ERROR and not rule_id.startswith(_HARD):
            severity = Severity.WARNING
        place = f"page {page}" if page else ""
        if page and node >= 0:
            place += f", node {node}"
        self.reporter.report(Finding(rule_id, severity, message, self._path, place, rule.jet))

    def add_reports(self, name: str, objid: int, reports: list[Report]) -> None:
        """Take what the kernel says of the tree `name` and empty the list."""
        for code, page, node, a, b in reports:
            rule_id, message = explain(code, a, b)
            self.add(rule_id, f"{name}: {message}", page, node, objid)
        reports.clear()
