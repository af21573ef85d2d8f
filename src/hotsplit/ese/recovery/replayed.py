"""Read a dirty database as if it were recovered: the logs are replayed onto an overlay.

No file is written; what changes lies in memory and, beyond 64 MB, in an unnamed scratch file.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace

from hotsplit.errors import DatabaseMismatch
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.pages import RunSource
from hotsplit.ese.recovery.databases import Target
from hotsplit.ese.recovery.events import NoWatch, Watch
from hotsplit.ese.recovery.hard import complete_header
from hotsplit.ese.recovery.inputs import Inputs
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.overlay import OverlayStore
from hotsplit.ese.recovery.recover import prepare, setting_for
from hotsplit.ese.recovery.run import run
from hotsplit.ese.recovery.store import Store
from hotsplit.report import Reporter

Create = Callable[[str, DatabaseHeader], Store]


def overlays(env: Env, inputs: Inputs, scratch: str) -> tuple[list[Target], Create | None]:
    """Open the databases under overlays; also return how to make one that the logs create.

    The caller closes the stores. Raises what opening a database raises, all closed again.
    """
    targets: list[Target] = []

    def create(path: str, header: DatabaseHeader) -> Store:
        return OverlayStore(env, None, header, path, scratch)

    try:
        for candidate in inputs.databases:
            store = OverlayStore.over(env, candidate.path, scratch)
            targets.append(Target(store.header.db_signature, store))
            if candidate.trailer is not None:
                complete_header(store, candidate.trailer)
    except BaseException:
        for target in targets:
            target.store.close()
        raise
    return targets, None if inputs.explicit else create


def open_replayed(
    env: Env,
    source: str,
    log_folders: list[str],
    options: Options = Options(),  # noqa: B008 - a frozen value
    watch: Watch | None = None,
    *,
    scratch: str | None = None,
    reporter: Reporter | None = None,
) -> Database:
    """Return the database `source` as recovery would leave it, open for reading.

    source: a database file, or a folder with logs and one database. A clean database is opened as
    it is. scratch: folder for the scratch file. Raises as `recover` does.
    """
    inputs, plan = prepare(env, [source], log_folders, options)
    if inputs.explicit:
        options = replace(options, ignore_missing=True)
    if plan.error is not None:
        raise plan.error
    targets, create = overlays(env, inputs, scratch or tempfile.gettempdir())
    setting = setting_for(env, inputs, plan, options, create)
    try:
        run(env, plan, targets, options, setting, watch or NoWatch())
        if len(targets) != 1:
            names = ", ".join(target.store.path for target in targets) or "no database"
            raise DatabaseMismatch(
                f"There is not exactly one database: {names}",
                file=source,
                hint="Name the database file.",
            )
    except BaseException:
        for target in targets:
            target.store.close()
        raise
    store = targets[0].store
    assert isinstance(store, OverlayStore)
    return Database(store, path=source, reporter=reporter, close=store.close)


@contextlib.contextmanager
def pages_of(env: Env, path: str, log_folders: list[str], *, replay: bool) -> Iterator[RunSource]:
    """Yield the pages of a database: as they lie, or (replay) as recovery would leave them.

    Logs are looked for beside the database if there are no `log_folders`. Nothing is written.
    """
    with DatabaseFile.open(env, path) as file:
        clean = file.header.state == DbState.CLEAN_SHUTDOWN and not file.header.has_trailer
        if not replay or clean:
            yield file
            return
    with open_replayed(env, path, log_folders) as database:
        source = database.source
        assert isinstance(source, RunSource)
        yield source
