"""Pages on their way into a database in use, kept until they have arrived: tears can be mended.

Each batch of pages is written to one file beside the logs and made durable there, before its first
page goes to the database; the next batch waits until those are durable in turn. What recovery does
with the file: see `keptpages`. (The published engine trusts that pages do not tear.)
"""

from __future__ import annotations

from collections.abc import Sequence

from hotsplit.errors import DiskFull, Jet
from hotsplit.ese.engine.pages.loggedpaths import Noted
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.recovery.keptpages import KeptPages, kept_path, pack, room_for
from hotsplit.ese.recovery.store import Store, WorkStore

_LONGEST_PATHS = 2 * 4096
BATCH = 256
"""Most pages that are kept at a time."""


class PageSafe:
    """The safe of the stream `base` in `folder`. mended: pages put right by `mend`.

    follow: see `Settings.follow_paths`.
    """

    def __init__(self, env: Env, folder: str, base: str, *, follow: bool = False) -> None:
        self._env, self._folder, self._follow = env, folder, follow
        self.path = kept_path(folder, base)
        self.mended = 0
        self._file: File | None = None
        self._last: Store | None = None
        self._is_named = False  # durably

    def begin(self, page_size: int) -> None:
        """Make the file, with space for every batch: a full disk cannot stop a write of pages.

        Raises DiskFull (-529): it lies on the disk of the logs.
        """
        self._file = self._open()
        try:
            self._file.allocate(room_for(BATCH, page_size, _LONGEST_PATHS))
        except DiskFull as error:
            self.close()
            raise DiskFull(
                "There is no space for pages on their way into databases",
                jet=Jet.errLogDiskFull,
                file=self.path,
                hint="Free space on the disk of the logs, then open the instance again.",
            ) from error

    def keep(self, store: Store, pages: Sequence[tuple[int, bytearray]]) -> None:
        """Make pages durable that are about to be written; those before must have arrived."""
        assert self._file is not None
        if self._last is not None:
            self._last.sync()
        self._last = store
        self._file.pwrite(pack(Noted.pack(self._folder, store.path), store.header, pages), 0)
        self._file.sync()
        if not self._is_named:
            self._env.sync_dir(self._folder)
            self._is_named = True

    def _open(self) -> File:
        if self._env.exists(self.path):
            return self._env.open(self.path, "write")
        return self._env.open(self.path, "create")

    def forget(self, store: Store) -> None:
        """A database is complete on disk and will be closed."""
        if self._last is store:
            self._last = None

    def close(self) -> None:
        """Let the file go, as it is."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._last = None

    def mend(self) -> None:
        """Put pages right that a crash tore; then the file is of no more use."""
        kept = KeptPages.read(self._env, self.path)
        if kept is None:
            return
        _, path = Noted.place(self._env, self._folder, kept.path, follow=self._follow)
        if not self._env.exists(path):
            return
        store = WorkStore.open_work(self._env, path)

        def put(pgno: int, page: bytearray) -> None:
            store.file.pwrite(page, (pgno + 1) * store.page_size)

        try:
            self.mended += kept.mend(store, put)
            store.sync()
        finally:
            store.close()

    def remove(self) -> None:
        """All pages have arrived for good."""
        self.close()
        if self._env.exists(self.path):
            self._env.remove(self.path)
            self._env.sync_dir(self._folder)
