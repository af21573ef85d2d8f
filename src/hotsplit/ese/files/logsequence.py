"""The transaction logs of a stream, gathered from folders and checked as one chain.

Only headers are read here (and duplicates compared); `LogFile` says what the data is like.
Source: log specification 1.1, 1.3, 2.3, 5.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from hotsplit.errors import HotsplitError, Jet, LogSequenceBroken, LogsMissing
from hotsplit.ese.files.checkpointfile import CheckpointFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import check_size, read_header
from hotsplit.ese.files.opened import located
from hotsplit.ese.format.basics import LogPosition, Signature
from hotsplit.ese.format.checkpoint import Checkpoint
from hotsplit.ese.format.logheader import LogHeader
from hotsplit.ese.format.names import FileName, NameKind, file_name, parse_name
from hotsplit.report import Finding, Severity

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class LogInfo:
    """One log file, as far as its name and header tell.

    generation: the header's; the name's if the header cannot be read; 0 if neither tells.
    header: None if it cannot be read; `error` says why, or why the file cannot be used as it is.
    name_generation: None for the current log.
    """

    path: str
    generation: int
    header: LogHeader | None
    is_current: bool
    name_generation: int | None
    size: int = 0
    error: HotsplitError | None = None

    @property
    def usable(self) -> bool:
        """Header, name and size are in order."""
        return self.error is None


@dataclass
class LogSequence:
    """One log stream. `logs` holds a file for each generation, the current log among them.

    A log with a damaged header or a wrong name stands in `logs` under the generation of its name,
    with its `error`. `foreign` are logs of other streams under this base; `duplicates` are second
    files of a generation. `gaps`: (first, last) missing generation between those in `logs`.
    """

    base: str
    signature: Signature
    folders: list[str]
    logs: dict[int, LogInfo] = field(default_factory=dict)
    current: LogInfo | None = None
    tmp: str | None = None
    reserves: list[str] = field(default_factory=list)
    checkpoint_path: str | None = None
    foreign: list[LogInfo] = field(default_factory=list)
    duplicates: list[LogInfo] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    digits: int = 8
    extension: str = "log"

    @classmethod
    def find(
        cls,
        env: Env,
        folders: list[str],
        base: str | None = None,
        signature: Signature | None = None,
    ) -> LogSequence:
        """Find one stream: that of `base` and `signature` if given, else the one with most logs.

        Raises LogsMissing (-528) when there is none, and what the Env raises for a folder.
        """
        streams = find_streams(env, folders, base, signature)
        if signature is not None:
            streams = [s for s in streams if s.signature == signature] or streams[:0]
        if not streams:
            raise LogsMissing(
                f"No transaction logs{f' of {base}' if base else ''} in {', '.join(folders)}",
                jet=Jet.errMissingLogFile,
                file=folders[0] if folders else "",
            )
        return streams[0]

    def name_of(self, generation: int) -> str:
        """Return the name that the numbered log of a generation has in this stream."""
        return file_name(self.base, generation, self.digits, self.extension)

    @property
    def lowest(self) -> int:
        """Lowest generation found, 0 without logs."""
        return min(self.logs, default=0)

    @property
    def highest(self) -> int:
        """Highest generation found, 0 without logs."""
        return max(self.logs, default=0)

    def read_checkpoint(self, env: Env) -> CheckpointFile | None:
        """Read the checkpoint; None, with a finding, when there is none that can be used here.

        A checkpoint that is missing, damaged or of another stream costs only time (5.2).
        """
        if self.checkpoint_path is None:
            return None
        try:
            found = CheckpointFile.read(env, self.checkpoint_path)
        except HotsplitError as error:
            self._note(
                "checkpoint", Severity.WARNING, error.message, self.checkpoint_path, error.jet
            )
            return None
        self.findings.extend(found.findings)
        if found.checkpoint.signature != self.signature:
            self._note(
                "checkpoint",
                Severity.WARNING,
                "The checkpoint is of another log stream",
                self.checkpoint_path,
                Jet.errBadCheckpointSignature,
            )
            return None
        return found

    def replay_start(self, checkpoint: Checkpoint | None) -> LogPosition:
        """Return where the engine would begin to replay (5.2).

        Raises LogsMissing (-528) when the generation that the checkpoint names is not there.
        """
        if checkpoint is None:
            if not self.logs:
                raise LogsMissing("There are no logs", jet=Jet.errMissingLogFile)
            return self._at_least_first(LogPosition(self.lowest, 0, 0))
        position = checkpoint.position
        if position.generation not in self.logs:
            raise LogsMissing(
                f"The checkpoint names generation {position.generation}"
                f" ({self.name_of(position.generation)}), which is not there",
                jet=Jet.errMissingLogFile,
                file=self.checkpoint_path or "",
            )
        return self._at_least_first(position)

    def _at_least_first(self, position: LogPosition) -> LogPosition:
        header = self.logs[position.generation].header
        first = 1 if header is None else header.header_sectors
        return position if position.sector else LogPosition(position.generation, first, 0)

    def _note(
        self, rule: str, severity: Severity, message: str, path: str, jet: Jet | None = None
    ) -> None:
        self.findings.append(Finding(rule, severity, message, file=path, jet=jet))

    def _report(self, rule: str, info: LogInfo, error: HotsplitError) -> None:
        self.findings.append(
            Finding(rule, Severity.ERROR, error.message, info.path, error.position, error.jet)
        )

    def _add(self, env: Env, info: LogInfo) -> None:
        """Take a log of this stream in; of two files of one generation the better one stays."""
        number = info.name_generation or info.generation
        if info.is_current and self.current is None:
            self.current = info
        if info.error is not None:
            self._report("log-file", info, info.error)
        if not number:
            return
        other = self.logs.get(number)
        if other is None:
            self.logs[number] = info
            return
        better, worse = (info, other) if _rank(info) > _rank(other) else (other, info)
        self.logs[number] = better
        self.duplicates.append(worse)
        if better.usable and worse.usable and not same_content(env, better.path, worse.path):
            self._note(
                "log-duplicate",
                Severity.WARNING,
                f"Generation {number} is there twice with different content; {better.path} is used",
                worse.path,
            )

    def check_chain(self) -> None:
        """Find gaps and broken links between consecutive logs, from their headers (2.3)."""
        numbers = sorted(self.logs)
        for low, high in pairwise(numbers):
            if high != low + 1:
                self.gaps.append((low + 1, high - 1))
                missing = self.name_of(low + 1)
                more = f" to {self.name_of(high - 1)}" if high - low > 2 else ""
                self._note(
                    "log-gap",
                    Severity.ERROR,
                    f"Missing: {missing}{more}",
                    self.folders[0] if self.folders else "",
                    Jet.errMissingLogFile,
                )
                continue
            self._check_link(self.logs[low], self.logs[high])

    def _check_link(self, before: LogInfo, after: LogInfo) -> None:
        if before.header is None or after.header is None or not (before.usable and after.usable):
            return
        if after.header.previous_created != before.header.created:
            self._note(
                "log-chain",
                Severity.ERROR,
                f"The log follows one created {after.header.previous_created},"
                f" generation {before.generation} was created {before.header.created}",
                after.path,
                Jet.errInvalidLogSequence,
            )
        if after.header.version < before.header.version:
            self._note(
                "log-version",
                Severity.WARNING,
                "The log has an older format version than the one before it",
                after.path,
            )


def checksum_link(before: int, after: LogInfo) -> Finding | None:
    """Compare the checksum of all segments of a log with what the next log says of it (2.3).

    before: `LogScan.checksum` of the log before. None if it agrees or was not recorded.
    """
    recorded = 0 if after.header is None else after.header.previous_checksum
    if recorded in (0, before):
        return None
    return Finding(
        "log-checksum-chain",
        Severity.ERROR,
        f"The log follows segments of checksum {recorded:#018x}, the log before has {before:#018x}",
        file=after.path,
        jet=Jet.errLogSequenceChecksumMismatch,
    )


def find_streams(
    env: Env,
    folders: list[str],
    base: str | None = None,
    signature: Signature | None = None,
) -> list[LogSequence]:
    """Find all streams in `folders`, those with most logs first.

    Logs of two streams under one base: each becomes a stream when it is asked for by `signature`;
    else the stream with most logs is returned and the others' logs are its `foreign`.
    Raises what the Env raises for a folder.
    """
    bases: dict[str, list[tuple[str, FileName]]] = {}
    ignored: list[str] = []
    for folder in folders:
        for name in env.listdir(folder):
            parsed = parse_name(name)
            path = f"{folder.rstrip('/')}/{name}" if folder else name
            if parsed is None or (base is not None and not parsed.is_of(base) and parsed.base):
                ignored.append(path)
            else:
                bases.setdefault(parsed.base.casefold(), []).append((path, parsed))
    streams = [
        stream
        for key, files in bases.items()
        if key and (stream := _build(env, folders, files, signature, base is not None))
    ]
    for stream in streams:
        stream.ignored = ignored
        stream.reserves += [path for path, _ in bases.get("", [])]
    return sorted(streams, key=lambda s: -len(s.logs))


def _build(
    env: Env,
    folders: list[str],
    files: list[tuple[str, FileName]],
    signature: Signature | None,
    named: bool,
) -> LogSequence | None:
    """Make the stream of one base; None if none of its files is of a log stream."""
    infos = [
        read_info(env, path, name)
        for path, name in files
        if name.kind in (NameKind.CURRENT, NameKind.ARCHIVE)
    ]
    chosen = _choose(infos, signature)
    if chosen is None and not (named and infos):
        return None
    archives = [name for _, name in files if name.kind == NameKind.ARCHIVE]
    stream = LogSequence(files[0][1].base, chosen or Signature(), folders)
    stream.digits = max((name.digits for name in archives), default=8)
    for path, name in files:
        if name.kind == NameKind.TMP:
            stream.tmp = stream.tmp or path
        elif name.kind == NameKind.RESERVE:
            stream.reserves.append(path)
        elif name.kind == NameKind.CHECKPOINT:
            stream.checkpoint_path = stream.checkpoint_path or path
    for info in infos:
        if info.is_current or stream.extension == "log":
            stream.extension = info.path.rpartition(".")[2].lower()
        if info.header is not None and info.header.signature != stream.signature:
            _add_foreign(stream, info)
        else:
            stream._add(env, info)
    stream.check_chain()
    return stream


def _choose(infos: Iterable[LogInfo], signature: Signature | None) -> Signature | None:
    """Return the signature of the stream: the wanted one if there, else that of most logs."""
    counts = Counter(info.header.signature for info in infos if info.header is not None)
    if signature is not None and signature in counts:
        return signature
    return counts.most_common(1)[0][0] if counts else None


def _add_foreign(stream: LogSequence, info: LogInfo) -> None:
    stream.foreign.append(info)
    stream._note(
        "log-signature",
        Severity.ERROR,
        "The log belongs to another stream",
        info.path,
        Jet.errBadLogSignature,
    )


def read_info(env: Env, path: str, name: FileName) -> LogInfo:
    """Read the header of one log file; whatever is wrong with it is in `LogInfo.error`."""
    current = name.kind == NameKind.CURRENT
    number = None if current else name.generation
    header: LogHeader | None = None
    size = 0
    error: HotsplitError | None = None
    try:
        with located(path):
            file = env.open(path, "read")
            try:
                size = file.size()
                header = read_header(file)
            finally:
                file.close()
            check_size(header, size)
            if number is not None and header.generation != number:
                raise LogSequenceBroken(
                    f"The name says generation {number}, the header {header.generation}",
                    jet=Jet.errLogGenerationMismatch,
                )
    except HotsplitError as caught:
        error = caught
    generation = header.generation if header is not None else number or 0
    return LogInfo(path, generation, header, current, number, size, error)


def _rank(info: LogInfo) -> tuple[bool, bool, bool]:
    """Order files of one generation: usable ones, then numbered ones (they are complete)."""
    return info.usable, info.header is not None, not info.is_current


def same_content(env: Env, first: str, second: str) -> bool:
    """Tell whether two files hold the same bytes."""
    one, two = env.open(first, "read"), env.open(second, "read")
    try:
        if one.size() != two.size():
            return False
        for offset in range(0, one.size(), _CHUNK):
            if one.pread(_CHUNK, offset) != two.pread(_CHUNK, offset):
                return False
        return True
    finally:
        one.close()
        two.close()
