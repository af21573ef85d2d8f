"""Sessions of a log stream and the versions that undo what they did.

Source: log specification 6.5.
"""

from __future__ import annotations

from typing import NamedTuple

# What a version undoes (the engine's operation numbers); PENDING waits for its before image.
PENDING, INSERT, REPLACE, FLAG_DELETE, DELTA, DELTA64 = 0, 1, 2, 3, 4, 9


class Version(NamedTuple):
    """One operation of an open transaction, with what is needed to undo it."""

    operation: int
    level: int
    dbid: int
    fdp: int
    objid: int
    rceid: int
    unique: bool
    key: bytes
    data: bytes
    image: bytes
    delta: int
    offset: int


class Session:
    """One session: its transaction and what it did there. known: its begin was replayed."""

    def __init__(self) -> None:
        self.known = False
        self.level = 0
        self.trx = 0
        self.versions: list[Version] = []

    def find(self, rceid: int) -> int:
        """Index of the newest version with this number, -1 if there is none."""
        for i in range(len(self.versions) - 1, -1, -1):
            if self.versions[i].rceid == rceid:
                return i
        return -1

    def add(self, version: Version) -> None:
        """Remember an operation of the open transaction; fills in what waits for its image."""
        if self.level == 0:
            return
        i = self.find(version.rceid)
        if i < 0:
            level = max(1, min(version.level, self.level))  # one that the session has
            self.versions.append(version._replace(level=level))
        elif self.versions[i].operation == PENDING:
            self.versions[i] = version._replace(level=self.versions[i].level)

    def begin(self, level: int, opened: int) -> None:
        self.known = True
        self.level = min(level + opened, 30)

    def commit(self, level: int) -> None:
        self.level = level
        if level == 0:
            self.versions.clear()
        self.versions = [v._replace(level=min(v.level, level)) for v in self.versions]

    def rollback(self, levels: int) -> None:
        self.level = max(0, self.level - levels)
        self.versions = [v for v in self.versions if self.level and v.level <= self.level]
