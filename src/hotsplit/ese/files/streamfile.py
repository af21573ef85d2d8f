"""The streaming file (.stm) that databases of Exchange 2000 and 2003 have beside them.

It has a header like that of a database and pages of raw data without headers of their own. Which
pages are in use and what their checksums are is kept in the database, in trees whose layout is not
published: data pages can be read, but not verified. The two files are one thing: neither is of use
without the other, and only with the one that it was closed with.

Source: format specification 1.4, 11.1, 13.1 H 10.
"""

from __future__ import annotations

import os.path
from typing import NamedTuple, Self

from hotsplit.errors import HotsplitError, Jet, NotEseFile
from hotsplit.ese.files.database import HEADER_BYTES
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.files.opened import Closing, closed_on_error, located
from hotsplit.ese.format.header import MAGIC, DatabaseHeader, choose_header
from hotsplit.report import Finding, Severity

ENDING = ".stm"
HEADER_PAGES = 2
"""Both copies of the header."""

_FILE_TYPES = (0, 2)  # not kept by older engines, streaming file
_STREAMING_ATTRIBUTE = 1
_HAS_STREAM = 0x04
_NOT_HERE = "The database has a streaming file (.stm), which is not here: copy both files together"


class StreamFile(Closing):
    """An open streaming file, read only."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.path = file.path
        with located(self.path):
            self.choice = choose_header(file.pread(HEADER_BYTES, 0))
            self.header: DatabaseHeader = self.choice.header
            if not _is_stream(self.header):
                raise NotEseFile("The file is not a streaming file")

    @classmethod
    def open(cls, env: Env, path: str) -> Self:
        """Open a file. Raises NotEseFile, HeaderDamaged (-1018), FileMissing."""
        file = env.open(path, "read")
        with closed_on_error(file):
            return cls(file)

    @property
    def page_count(self) -> int:
        """Number of whole pages behind the two of the header."""
        return max(0, self.file.size() // self.header.page_size - HEADER_PAGES)

    @property
    def rest(self) -> int:
        """Bytes behind the last whole page, 0 unless the file was cut short."""
        return self.file.size() % self.header.page_size

    def read_page(self, number: int) -> bytes:
        """Return the data of a page, from 1 on, not verified; fewer bytes at the end."""
        size = self.header.page_size
        return self.file.pread(size, (number + 1) * size)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _is_stream(header: DatabaseHeader) -> bool:
    marked = header.attributes == _STREAMING_ATTRIBUTE
    return header.magic == MAGIC and marked and header.file_type in _FILE_TYPES


def announces_stream(header: DatabaseHeader) -> bool:
    """Say whether a database has a streaming file."""
    return bool(header.flags & _HAS_STREAM)


class Pair(NamedTuple):
    """A database and its streaming file. path: of the file, None if there is none.

    problem: what is wrong with it, "" for nothing.
    """

    path: str | None
    problem: str = ""

    def finding(self, database: str) -> Finding | None:
        """Return what is to be said about the pair; None if all is well."""
        if not self.problem:
            return None
        jet = Jet.errDatabaseStreamingFileMismatch
        return Finding("streaming-file", Severity.WARNING, self.problem, self.path or database,
                       jet=jet)  # fmt: skip


def find_pair(env: Env, database: str, header: DatabaseHeader) -> Pair | None:
    """Find and judge the streaming file of a database; None for a database that has none.

    It lies beside the database, under the same name or, renamed, under another that ends in .stm.
    Raises what the Env raises.
    """
    if not announces_stream(header):
        return None
    first: Pair | None = None
    for path in _candidates(env, database):
        pair = Pair(path, _problem(env, path, header))
        if not pair.problem:
            return pair
        first = first or pair
    return first or Pair(None, _NOT_HERE)


def _candidates(env: Env, database: str) -> list[str]:
    """Return the files that end in .stm beside a database, first that with its name."""
    folder, name = os.path.split(database)
    stem = os.path.splitext(name)[0].casefold()  # noqa: PTH122 - paths are plain strings
    own = os.path.join(folder, stem + ENDING).casefold()  # noqa: PTH118
    return sorted(find_stream_files(env, folder), key=lambda path: path.casefold() != own)


def find_stream_files(env: Env, folder: str) -> list[str]:
    """Return the streaming files in a folder, told by name. Raises what the Env raises."""
    names = [n for n in env.listdir(folder or ".") if n.casefold().endswith(ENDING)]
    return [os.path.join(folder, n) for n in sorted(names)]  # noqa: PTH118


def _problem(env: Env, path: str, header: DatabaseHeader) -> str:
    try:
        with StreamFile.open(env, path) as stream:
            signature = stream.header.stream_signature
    except HotsplitError as error:
        return f"The streaming file of the database cannot be used: {error.message}"
    if not signature.is_set or signature != header.stream_signature:
        return "The streaming file belongs to another database: their signatures (signSLV) differ"
    return ""


def find_database(env: Env, stream: StreamFile) -> tuple[str | None, str]:
    """Return the database beside a streaming file that has its signature, and what is wrong.

    Raises what the Env raises.
    """
    folder = os.path.dirname(stream.path)  # noqa: PTH120
    announced = []
    for name in env.listdir(folder or "."):
        path = os.path.join(folder, name)  # noqa: PTH118
        header = None if env.is_dir(path) else _database_header(env, path)
        if header is None or not announces_stream(header):
            continue
        if header.stream_signature == stream.header.stream_signature:
            return path, ""
        announced.append(path)
    if announced:
        return None, "No database here has the signature of the streaming file (signSLV)"
    return None, "The database of the streaming file is not here: neither is of use alone"


def _database_header(env: Env, path: str) -> DatabaseHeader | None:
    file = env.open(path, "read")
    try:
        header = choose_header(file.pread(HEADER_BYTES, 0)).header
    except HotsplitError:
        return None
    finally:
        file.close()
    return header if header.magic == MAGIC and not header.attributes else None
