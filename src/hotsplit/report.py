"""Findings: what a reader saw that was not as it should be.

Damage is reported, not thrown about: code that walks a file hands each finding to a
`Reporter` and goes on as far as it safely can. What to do about findings is the caller's policy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hotsplit.errors import Jet

_SURROGATE = re.compile("[\ud800-\udfff]")


def json_text(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Return a value as JSON in one line that UTF-8 can carry. default: as in `json.dumps`.

    Bytes of a path that are no UTF-8 are lone surrogates in Python. They are written as escapes
    (``\\udcff``), of which a reader makes the same path again.
    """
    text = json.dumps(value, ensure_ascii=False, default=default)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Severity(StrEnum):
    """How bad a finding is."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation about one place in one file.

    rule: short stable name of what was checked, e.g. ``page-checksum``.
    position: where, in the file's own terms: ``page 17``, ``(0x5,8,0)``, ``offset 4096``.
    jet: the error that the engine gives for it, if it has one.
    """

    rule: str
    severity: Severity
    message: str
    file: str = ""
    position: str = ""
    jet: Jet | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the finding as a JSON-ready dict (stable keys)."""
        return {
            "rule": self.rule,
            "severity": str(self.severity),
            "message": self.message,
            "file": self.file,
            "position": self.position,
            "error": None
            if self.jet is None
            else {"name": self.jet.title, "number": int(self.jet)},
        }


class Reporter:
    """Collects findings, at most `limit` of each rule; counts all of them.

    The limit keeps memory bounded when a hostile or ruined file yields one finding a page.
    """

    def __init__(self, *, limit: int = 1000, sink: Callable[[Finding], None] | None = None) -> None:
        self.findings: list[Finding] = []
        self.counts: dict[str, int] = {}
        self._limit = limit
        self._sink = sink

    def report(self, finding: Finding) -> None:
        """Take one finding."""
        seen = self.counts.get(finding.rule, 0)
        self.counts[finding.rule] = seen + 1
        if seen < self._limit:
            self.findings.append(finding)
            if self._sink is not None:
                self._sink(finding)

    def worst(self) -> Severity | None:
        """Return the highest severity seen, or None without findings."""
        order = list(Severity)
        return max((f.severity for f in self.findings), key=order.index, default=None)
