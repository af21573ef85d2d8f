"""What all opened files share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hotsplit.errors import HotsplitError


@contextlib.contextmanager
def located(path: str) -> Iterator[None]:
    """Name the file in errors of code that knows bytes only."""
    try:
        yield
    except HotsplitError as error:
        raise error.at(file=path) from error.__cause__
