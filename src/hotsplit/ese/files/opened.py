"""What all opened files share."""

from __future__ import annotations

import contextlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Self

from hotsplit.errors import DataDamaged, HotsplitError
from hotsplit.ese.files.env import File


@contextlib.contextmanager
def located(path: str) -> Iterator[None]:
    """Name the file in errors of code that knows bytes only."""
    try:
        yield
    except HotsplitError as error:
        raise error.at(file=path) from error.__cause__


UNDECODABLE = (ValueError, OverflowError, IndexError, struct.error)
"""What code that knows bytes only raises for bytes that mean nothing."""


def undecodable(error: Exception, path: str) -> DataDamaged:
    """Return the error for bytes of a file that mean nothing."""
    made = DataDamaged(str(error) or "what was read means nothing", file=path)
    made.__cause__ = error
    return made


@contextlib.contextmanager
def decoded(path: str) -> Iterator[None]:
    """Raise DataDamaged, with the file, for bytes that mean nothing."""
    try:
        yield
    except UNDECODABLE as error:
        raise undecodable(error, path) from error


@contextlib.contextmanager
def closed_on_error(file: File) -> Iterator[None]:
    """Close a file if something goes wrong in the block; else it stays open."""
    try:
        yield
    except BaseException:
        file.close()
        raise


class Closing(ABC):
    """What is closed at the end of a `with` block."""

    @abstractmethod
    def close(self) -> None:
        """Let go what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
