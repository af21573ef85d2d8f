"""What all opened files share."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Self

from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import File


@contextlib.contextmanager
def located(path: str) -> Iterator[None]:
    """Name the file in errors of code that knows bytes only."""
    try:
        yield
    except HotsplitError as error:
        raise error.at(file=path) from error.__cause__


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
