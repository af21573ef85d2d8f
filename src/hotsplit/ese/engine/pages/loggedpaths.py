"""Where the databases of a stream are that is recovered where it lies: its logs name them by path.

A folder that was copied has logs with the paths of the original, which may be there, too, and in
use. Logs and Init records say in which folder they were written. So a path counts if it was logged
in the folder in which the logs are now; of one that was logged elsewhere only the name does, and
the file of that name beside the logs is meant.

Source: log specification 2 (settings of the instance in the header), 4.13 (Init records).
"""

from __future__ import annotations

import ntpath
import os.path
from collections.abc import Iterator

from hotsplit.errors import DatabaseMismatch, Jet
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogInfo, LogSequence
from hotsplit.ese.format.logrecord import decode
from hotsplit.ese.format.recordparts import database_path
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.core import END, Core


class LoggedPaths:
    """The paths in the logs of a folder, and the files that they mean now."""

    def __init__(self, env: Env, settings: Settings, sequence: LogSequence) -> None:
        self._env, self._settings = env, settings
        self._here = settings.parameters().log_path_raw
        self._paths: dict[str, bool] = {}  # True: logged here
        for _, info in sorted(sequence.logs.items()):
            for path, folder in self._named(info):
                self._paths[path] = self._paths.get(path, False) or folder == self._here

    def _named(self, info: LogInfo) -> Iterator[tuple[str, bytes]]:
        """Yield each path that a log names, with the folder in which it was written."""
        if info.header is None or not info.usable:
            return
        folder = info.header.parameters.log_path_raw
        for entry in info.header.attachments:
            yield entry.path, folder
        with LogFile.open(self._env, info.path) as log:
            data = b"".join(segment for _, segment in log.segments())
        core = Core(self._settings.page_size)  # it knows no database: it only walks the records
        core.feed(data, 0, 0, True)
        while core.run() != END:
            kind = core.record[:1]
            if kind in _INITS:
                folder = decode(core.record).parameters.log_path_raw
            elif kind in _NAMING:
                yield database_path(decode(core.record)), folder

    def place(self, path: str) -> str:
        """Return the path of the file that a path in the logs means, there or not."""
        settings = self._settings
        here = settings.follow_paths or self._paths.get(path, True)
        return meant(self._env, settings.folder, path, here=here)

    def files(self) -> list[str]:
        """Return the paths of all databases that the logs speak of.

        Raises DatabaseMismatch (-1216) where only another folder holds one of them.
        """
        found: dict[str, None] = {}
        for path in self._paths:
            place = self.place(path)
            check_meant(self._env, path, place)
            found[place] = None
        return list(found)


def meant(env: Env, folder: str, path: str, *, here: bool) -> str:
    """Return the path of the file that `path` means to files of the stream in `folder`.

    here: it was written down when they were in this folder.
    """
    beside = f"{folder}/{ntpath.basename(path)}"
    if here and (env.exists(path) or not env.exists(beside)):
        return path
    return beside


def check_meant(env: Env, path: str, place: str) -> None:
    """Raise DatabaseMismatch (-1216) if what `path` means is not there, but a file in that place.

    place: what `meant` returned.
    """
    if place != path and not env.exists(place) and env.exists(path):
        raise DatabaseMismatch(
            f"{path} may be in use with the original of this folder, which was copied or moved",
            jet=Jet.errAttachedDatabaseMismatch,
            file=place,
            hint="Put the copy of the database beside the logs. If the logs were moved, and the"
            " database stays where it is, open with Settings(follow_paths=True).",
        )


class Noted:
    """A path in a file beside the logs, with the folder in which that file was written."""

    @staticmethod
    def pack(folder: str, path: str) -> bytes:
        """Return the bytes of a path."""
        return f"{path}\0{os.path.abspath(folder)}".encode("utf-8", "surrogateescape")  # noqa: PTH100

    @staticmethod
    def place(env: Env, folder: str, data: bytes, *, follow: bool) -> tuple[str, str]:
        """Return a path and what it means now to a file in `folder`."""
        path, _, written = data.decode("utf-8", "surrogateescape").partition("\0")
        here = follow or written in ("", os.path.abspath(folder))  # noqa: PTH100
        return path, meant(env, folder, path, here=here)


_INITS = (bytes((T.INIT,)), bytes((T.INIT2,)))
_NAMING = (bytes((T.CREATE_DB,)), bytes((T.ATTACH_DB,)))
