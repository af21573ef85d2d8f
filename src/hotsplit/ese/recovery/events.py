"""The event log of a recovery: what the engine would write to the system's event log.

One JSON object a line: ``{"id": 301, "kind": "information", "time": ..., "event": ..., ...}`` with
named details instead of the engine's insertion strings. Source: log specification 10.5.
"""

from __future__ import annotations

import json
from typing import Any

from hotsplit.ese.files.env import Env, File

_NAMES = {
    300: ("information", "recovery begins"),
    301: ("information", "log replayed"),
    302: ("information", "recovery completed"),
    304: ("information", "replay completed without undo"),
    325: ("information", "database created"),
    326: ("information", "database attached"),
    327: ("information", "database detached"),
    335: ("information", "attach deferred"),
    399: ("warning", "page corrected"),
    420: ("warning", "database header unreadable"),
    446: ("error", "redo ended early because of a bad log"),
    450: ("error", "log missing in the sequence"),
    452: ("error", "required logs start too low"),
    453: ("error", "required logs end too early"),
    454: ("error", "recovery failed"),
    472: ("warning", "header copy bad, the other one used"),
    494: ("error", "recovery ended with missing databases"),
    499: ("warning", "stale or torn end of the log left out"),
    516: ("error", "page dbtime does not match the record"),
    523: ("error", "committed logs missing"),
    524: ("warning", "committed logs lost"),
    552: ("error", "log segment corrupt"),
    554: ("warning", "log segment corrected"),
    555: ("error", "page missing that the log requires"),
    567: ("error", "a log of the required range is damaged"),
}


class EventLog:
    """Keeps events, and writes each at once to a file if one is given."""

    def __init__(self, env: Env, file: File | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self._env = env
        self._file = file
        self._size = 0

    def add(self, number: int, **details: Any) -> None:
        """Record event `number` with its details (JSON-ready values)."""
        kind, name = _NAMES[number]
        event = {
            "id": number,
            "kind": kind,
            "time": self._env.now().isoformat(timespec="milliseconds"),
            "event": name,
            **details,
        }
        self.events.append(event)
        if self._file is not None:
            line = (json.dumps(event, ensure_ascii=False, default=str) + "\n").encode()
            self._file.pwrite(line, self._size)
            self._size += len(line)
