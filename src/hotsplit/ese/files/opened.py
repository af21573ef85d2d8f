"""What all opened files share."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Self

from hotsplit.errors import HotsplitError


@contextlib.contextmanager
def located(path: str) -> Iterator[None]:
    """Name the file in errors of code that knows bytes only."""
    try:
        yield
    except HotsplitError as error:
        raise error.at(file=path) from error.__cause__


class Closing(ABC):
    """What is closed at the end of a `with` block."""

    @abstractmethod
    def close(self) -> None:
        """Let go what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
