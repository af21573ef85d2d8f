"""What compact, repair and scrub share: the source with or without its logs, the report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.read.pages import RunSource
from hotsplit.ese.rebuild.source import is_clean
from hotsplit.ese.recovery.replayed import open_replayed


@contextlib.contextmanager
def opened(env: Env, path: str, *, replay: bool, logs: tuple[str, ...]) -> Iterator[RunSource]:
    """Yield the pages of a database: as they lie, or (replay) as recovery would leave them.

    Logs are looked for beside the database if `logs` is empty. Nothing is written.
    """
    with DatabaseFile.open(env, path) as file:
        if not replay or is_clean(file.header):
            yield file
            return
    with open_replayed(env, path, list(logs)) as database:
        source = database.source
        assert isinstance(source, RunSource)
        yield source


def megabytes(pages: int, page_size: int) -> str:
    """Return the size of a file of so many pages, for people."""
    return f"{(pages + 2) * page_size / 1e6:.1f} MB"
