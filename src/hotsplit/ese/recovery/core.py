"""The replay kernel: the compiled one where it can run, else its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotsplit import _native
from hotsplit._native.redo_py import (
    BEYOND,
    DAMAGED,
    END,
    MISS,
    NEW,
    RECORD,
    TOO_NEW,
    TOO_OLD,
)
from hotsplit._native.sessions_py import (
    DELTA,
    DELTA64,
    FLAG_DELETE,
    INSERT,
    PENDING,
    REPLACE,
    Version,
)

if TYPE_CHECKING:
    from hotsplit._native.redo import Core
else:
    Core = _native.load("redo").Core

__all__ = [
    "BEYOND",
    "DAMAGED",
    "DELTA",
    "DELTA64",
    "END",
    "FLAG_DELETE",
    "INSERT",
    "MISS",
    "NEW",
    "PENDING",
    "RECORD",
    "REPLACE",
    "TOO_NEW",
    "TOO_OLD",
    "Core",
    "Version",
]
