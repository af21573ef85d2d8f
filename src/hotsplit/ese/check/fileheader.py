"""Checking the header of a database and the size of its file.

Source: format specification 1.2 to 1.5, 11.1, 11.2 and 13.1 H.
"""

from __future__ import annotations

from hotsplit.errors import BackupNeedsRestore
from hotsplit.ese.check.findings import Findings
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.streamfile import find_pair
from hotsplit.ese.format.header import DbState

_BROKEN_STATES = (DbState.JUST_CREATED, DbState.BEING_CONVERTED)
_DBTIMES = 1 << 63  # they are signed
_UNKNOWN = 0  # headers of engines that did not keep the state


def is_clean(file: DatabaseFile) -> bool:
    """True if the database was shut down cleanly, or its header is too old to tell."""
    return int(file.header.state) in (_UNKNOWN, DbState.CLEAN_SHUTDOWN)


def check_header(env: Env, file: DatabaseFile, findings: Findings) -> None:
    """Report what is wrong with the header, the file's size and what belongs to the database.

    That is the trailer of a backup copy, and the streaming file beside it.
    """
    header = file.header
    state = int(header.state)
    if not file.choice.other_is_good:
        other = "shadow" if file.choice.copy == "primary" else "primary"
        findings.add("H2", f"The {other} copy of the header is damaged; the other one is used")
    elif not file.choice.copies_equal:
        findings.add("H2", "The two copies of the header differ; the first one is used")
    if state not in (_UNKNOWN, *DbState) or state in _BROKEN_STATES:
        findings.add("H5", f"The state of the database is {state}: it was never completed")
    elif not is_clean(file):
        findings.add("H4", "The database was not shut down cleanly")
    elif header.gen_min_required or header.gen_max_required:
        logs = f"{header.gen_min_required} to {header.gen_max_required}"
        findings.add("H5", f"The database is clean but requires logs {logs}")
    if header.dbtime >= _DBTIMES:
        findings.add("P15", f"The header has the impossible dbtime {header.dbtime:#x}")
    if not header.db_signature.is_set:
        findings.add("H8", "The database has no signature")
    _check_size(file, findings)
    pair = find_pair(env, file.path, header)
    if pair is not None and pair.problem:
        findings.add("H10", pair.problem)


def _check_size(file: DatabaseFile, findings: Findings) -> None:
    rest = file.file.size() % file.page_size
    if rest:
        findings.add("H6", f"The file ends with {rest} bytes of a page: it was cut short")
    if file.has_trailer:
        try:
            assert file.trailer is not None
        except BackupNeedsRestore as error:
            findings.add("H6", f"The trailer page of the backup copy: {error.message}")
