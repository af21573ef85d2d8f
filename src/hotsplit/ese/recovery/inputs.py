"""What there is to recover: databases, told by their content, and the log stream they belong to."""

from __future__ import annotations

import os.path
from collections.abc import Hashable
from dataclasses import dataclass, field

from hotsplit.errors import FileMissing, HotsplitError, Jet, LogsMissing, NotEseFile
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logsequence import LogSequence, find_streams
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.format.names import NameKind, parse_name
from hotsplit.ese.format.patch import Trailer
from hotsplit.ese.recovery.hard import trailer_range

_TEMPORARY = 5


@dataclass(frozen=True)
class Candidate:
    """A database file and the header in use. trailer: of a streaming backup copy."""

    path: str
    header: DatabaseHeader
    trailer: Trailer | None = None

    @property
    def needs_logs(self) -> bool:
        """The database is of no use without replay."""
        return self.header.state != DbState.CLEAN_SHUTDOWN

    @property
    def required(self) -> tuple[int, int]:
        """Log Required: lowest and highest generation, (0, 0) for none."""
        if not self.needs_logs:
            return 0, 0
        if self.trailer is not None:
            return trailer_range(self.header, self.trailer)
        if self.header.state == DbState.JUST_CREATED:  # all of it lies in the logs, and only there
            return self.header.attach.generation, self.header.attach.generation
        return self.header.gen_min_required, self.header.gen_max_required


@dataclass
class Inputs:
    """Databases and logs found.

    unusable: files that cannot be opened as databases, by lower-case name: they matter only if the
    logs use one of that name. others: databases in the same folder that belong to another stream,
    with its base name. explicit: databases were named, not searched for: others that the logs use
    are left out.
    """

    databases: list[Candidate]
    sequence: LogSequence | None = None
    unusable: dict[str, HotsplitError] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    explicit: bool = False

    @property
    def lowest_required(self) -> int:
        """The lowest generation that a database requires, 0 for none."""
        return min((low for low, _ in (c.required for c in self.databases) if low), default=0)

    @property
    def highest_required(self) -> int:
        """The highest generation that a database requires, 0 for none."""
        return max((c.required[1] for c in self.databases), default=0)

    @property
    def highest_committed(self) -> int:
        """The highest generation that holds committed transactions for all that is known."""
        return max((c.header.gen_max_committed for c in self.databases), default=0)

    @property
    def page_size(self) -> int:
        """Bytes of a page of the stream's databases."""
        if self.databases:
            return self.databases[0].header.page_size
        headers = [i.header for i in self.sequence.logs.values()] if self.sequence else []
        return next((h.page_size for h in headers if h is not None), 0)


def find_inputs(
    env: Env, sources: list[str], log_folders: list[str], base: str | None = None
) -> Inputs:
    """Find databases in `sources` (files, or folders that hold them) and their log stream.

    A file that is there more than once, by links, too, is one. log_folders: where the logs are; the
    sources' own folders if empty. Raises FileMissing when a source does not exist, and what the Env
    raises. A stream that is not there leaves `sequence` None.
    """
    found = Inputs([], explicit=not any(env.is_dir(source) for source in sources))
    for source in sources:
        if env.is_dir(source):
            _search(env, source, found)
        else:
            _take(env, source, found, named=True)
    once: dict[Hashable, Candidate] = {}
    for candidate in found.databases:
        once.setdefault(env.identity(candidate.path), candidate)
    found.databases = list(once.values())
    folders = log_folders or list(dict.fromkeys(_folder(env, s) for s in sources))
    found.sequence = _stream(env, folders, base, found)
    _leave_out_other_streams(env, folders, found)
    return found


def _folder(env: Env, source: str) -> str:
    if env.is_dir(source):
        return source
    if not env.exists(source):
        raise FileMissing("There is no such file or folder", file=source)
    return os.path.dirname(source) or "."  # noqa: PTH120 - paths are plain strings here


def _search(env: Env, folder: str, found: Inputs) -> None:
    for name in env.listdir(folder):
        path = f"{folder.rstrip('/')}/{name}"
        if parse_name(name) is None and not env.is_dir(path):
            _take(env, path, found, named=False)


def _take(env: Env, path: str, found: Inputs, *, named: bool) -> None:
    try:
        with DatabaseFile.open(env, path) as file:
            candidate = Candidate(path, file.header, file.trailer)
    except HotsplitError as error:
        if named:
            raise
        if isinstance(error, NotEseFile):
            return
        found.unusable[os.path.basename(path).lower()] = error  # noqa: PTH119
    else:
        if named or not _is_temporary(candidate):
            found.databases.append(candidate)


def _is_temporary(candidate: Candidate) -> bool:
    """Tell a database of temporary tables, which an instance in use keeps beside its others.

    It is never logged; some engines flag its file as an ordinary database.
    """
    header = candidate.header
    never_logged = not (header.dbid or header.log_signature.is_set)
    return header.file_type == _TEMPORARY or (candidate.needs_logs and never_logged)


def _stream(env: Env, folders: list[str], base: str | None, found: Inputs) -> LogSequence | None:
    """Return the stream of the first database that has one, else the one with most logs."""
    for candidate in found.databases:
        try:
            return LogSequence.find(env, folders, base, candidate.header.log_signature)
        except LogsMissing:
            continue
    try:
        return LogSequence.find(env, folders, base or _ruined_base(env, folders, found))
    except LogsMissing:
        return None


def _ruined_base(env: Env, folders: list[str], found: Inputs) -> str | None:
    """Return the base of logs none of which can be read, to say so where logs are needed.

    Files of other programs may be called *.log, too: these have a checkpoint beside them.
    """
    if not any(candidate.needs_logs for candidate in found.databases):
        return None
    names = [parse_name(name) for folder in folders for name in env.listdir(folder)]
    bases = {n.base for n in names if n is not None and n.kind == NameKind.CHECKPOINT}
    ruined = not any(stream.logs for stream in find_streams(env, folders))
    return bases.pop() if ruined and len(bases) == 1 else None


def _leave_out_other_streams(env: Env, folders: list[str], found: Inputs) -> None:
    """Set databases of a second stream in the same folder aside."""
    if found.explicit or found.sequence is None:
        return
    for candidate in list(found.databases):
        signature = candidate.header.log_signature
        if signature == found.sequence.signature or not signature.is_set:
            continue
        try:
            other = LogSequence.find(env, folders, None, signature)
        except LogsMissing:
            continue
        if other.base.casefold() != found.sequence.base.casefold():
            found.databases.remove(candidate)
            found.others[candidate.path] = other.base


def nothing_found(inputs: Inputs, sources: list[str]) -> HotsplitError:
    """Return the error for sources that hold neither a database nor logs."""
    if inputs.unusable and inputs.explicit:
        return next(iter(inputs.unusable.values()))
    return FileMissing(
        "There is neither a database nor a transaction log here",
        jet=Jet.errFileNotFound,
        file=sources[0] if sources else "",
    )
