"""The database header: fields as the engine prints them, choice of a copy, hostile bytes."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.errors import HeaderDamaged, HotsplitError, Jet, NotEseFile, UnsupportedVersion
from hotsplit.ese.format.basics import BackupInfo, LogPosition, LogTime, Signature
from hotsplit.ese.format.checksum import header_checksum
from hotsplit.ese.format.header import (
    MAGIC,
    PAGE_SIZES,
    VERSION,
    DatabaseHeader,
    DbState,
    check_version,
    choose_header,
)
from hotsplit.ese.format.layout import Field
from tests.conftest import set_names, unpack_vector

PRINTED = {
    "dbtime": r"dbtime: (\d+)",
    "gen_min_required": r"Log Required: (\d+)-",
    "gen_max_required": r"Log Required: \d+-(\d+)",
    "gen_max_committed": r"Log Committed: \d+-(\d+)",
    "gen_min_consistent": r"Log Consistent: (\d+)",
    "gen_recovering": r"Log Recovering: (\d+)",
    "pre_redo_min_required": r"Min\. Req\. Pre-Redo: (\d+)",
    "objid_last": r"Last Objid: (\d+)",
    "repair_count": r"\n +Repair Count: (\d+)",
    "dbid": r"Dbid: (\d+)",
    "page_size": r"cbDbPage: (\d+)",
    "extend_count": r"Extend Count: (\d+)",
    "shrink_count": r"Shrink Count: (\d+)",
    "trim_count": r"Trim Count: (\d+)",
    "scan_highest": r"\n +Highest Database Maintenance Page: (\d+)",
    "scan_highest_continuous": r"Highest Continuous Database Maintenance Page: (\d+)",
    "dbtime_last_scrub": r"Scrub Dbtime: (\d+)",
    "consistent": r"Last Consistent: (\(\S+\))",
    "attach": r"Last Attach: (\(\S+\))",
    "detach": r"Last Detach: (\(\S+\))",
    "last_reattach": r"Last ReAttach: (\(\S+\))",
    "consistent_time": r"Last Consistent: \(\S+\) +(.*)",
    "attach_time": r"Last Attach: \(\S+\) +(.*)",
    "detach_time": r"Last Detach: \(\S+\) +(.*)",
    "last_reattach_time": r"Last ReAttach: \(\S+\) +(.*)",
    "gen_max_required_time": r"Gen\. Max\. Req\. Creation Time: (.*)",
    "gen_max_create_time": r"Gen\. Max\. Com\. Creation Time: (.*)",
    "extend_time": r"Extend Date: (.*)",
    "repair_time": r"Repair Date: (.*)",
    "db_signature": r"DB Signature: (.*)",
    "log_signature": r"Log Signature: (.*)",
    "header_flush_signature": r"Database Header Flush Signature: (.*)",
    "flush_map_signature": r" Flush Map Header Flush Signature: (.*)",
}
"""Where the engine's header dump shows a field."""


def dumps() -> list[tuple[str, Path, Path]]:
    """(name, database, engine's dump) of all states of the crash sets."""
    found = []
    for name in set_names("crash"):
        folder = unpack_vector(name)
        for state in ("crash", "redo", "recovered"):
            dump = folder / "eseutil" / f"{state}.mh.txt"
            if dump.exists():
                found.append((f"{name}/{state}", folder / state / "test.edb", dump))
    return found


def test_fields_are_those_that_the_engine_prints(shared: Path) -> None:
    wrong, compared = [], 0
    for name, database, dump in dumps():
        header = choose_header(database.read_bytes()[:65536]).header
        text = dump.read_text(errors="replace")
        for field, pattern in PRINTED.items():
            found = re.search(pattern, text)
            if found is None:
                continue
            compared += 1
            value = str(getattr(header, field))
            if value.strip() != found[1].strip():
                wrong.append((name, field, value, found[1]))
        states = {
            "Dirty Shutdown": DbState.DIRTY_SHUTDOWN,
            "Clean Shutdown": DbState.CLEAN_SHUTDOWN,
        }
        printed = re.search(r"State: (.*)", text)
        assert printed is not None
        assert header.state == states[printed[1].strip()], name
    assert not wrong
    assert compared > 1000


def sample(field: Field[object], seed: int) -> object:
    """A value of the field's type, all of whose bytes count."""
    old = field.__get__(DatabaseHeader.empty(), DatabaseHeader)
    draw = random.Random(seed)
    when = LogTime(1, 2, 3, 4, 5, 126, draw.randrange(256), 1)
    position = LogPosition(draw.randrange(1 << 31), draw.randrange(1 << 16), 7)
    if isinstance(old, LogPosition):
        return position
    if isinstance(old, LogTime):
        return when
    if isinstance(old, Signature):
        return Signature(draw.randrange(1 << 32), when, b"HOST")
    if isinstance(old, BackupInfo):
        return BackupInfo(position, when, 3, draw.randrange(1 << 32))
    return draw.randrange(1 << 8 * field.size)


def test_fields_do_not_overlap_and_unknown_bytes_survive() -> None:
    header = DatabaseHeader(random.Random(1).randbytes(4096))
    untouched = bytes(header.raw)
    fields = DatabaseHeader.fields()
    wanted = {field.name: sample(field, i) for i, field in enumerate(fields)}
    for name, value in wanted.items():
        setattr(header, name, value)
    assert header.as_dict() == wanted
    known = {at for field in fields for at in range(field.offset, field.offset + field.size)}
    for at in set(range(4096)) - known:
        assert header.raw[at] == untouched[at]


def start_of_file(size: int = 4096, **values: object) -> bytearray:
    header = DatabaseHeader.empty(size)
    header.magic, header.version, header.page_size_field, header.file_type = MAGIC, VERSION, size, 1
    for name, value in values.items():
        setattr(header, name, value)
    return bytearray(header.sealed() * 2)


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_the_first_good_copy_is_chosen(size: int) -> None:
    start = start_of_file(size, dbtime=5)
    assert choose_header(bytes(start))[1:] == ("primary", True, True)
    newer = start_of_file(size, dbtime=6)
    mixed = newer[:size] + start[size:]
    choice = choose_header(bytes(mixed))
    assert (choice.header.dbtime, *choice[1:]) == (6, "primary", True, False)
    mixed[100] ^= 1
    choice = choose_header(bytes(mixed))
    assert (choice.header.dbtime, *choice[1:]) == (5, "shadow", False, False)
    mixed[size + 100] ^= 1
    with pytest.raises(HeaderDamaged) as caught:
        choose_header(bytes(mixed))
    assert caught.value.jet == Jet.errReadVerifyFailure


def test_page_size_zero_means_4096() -> None:
    header = choose_header(bytes(start_of_file(page_size_field=0))).header
    assert header.page_size == 4096


def test_a_copy_that_names_another_page_size_is_not_valid() -> None:
    with pytest.raises(HeaderDamaged):
        choose_header(bytes(start_of_file(page_size_field=8192)))


@pytest.mark.parametrize(
    ("values", "kind", "jet"),
    [
        ({"version": 1}, UnsupportedVersion, Jet.errDatabase200Format),
        ({"version": 0x400}, UnsupportedVersion, Jet.errDatabase400Format),
        ({"version": 0x500}, UnsupportedVersion, Jet.errDatabase500Format),
        ({"version": 0x777}, UnsupportedVersion, Jet.errInvalidDatabaseVersion),
        ({"magic": 1}, NotEseFile, Jet.errFileInvalidType),
        ({"file_type": 3}, NotEseFile, Jet.errFileInvalidType),
        ({"attributes": 1}, NotEseFile, Jet.errFileInvalidType),
    ],
)
def test_other_versions_and_kinds_are_refused(
    values: dict[str, int], kind: type[HotsplitError], jet: Jet
) -> None:
    header = choose_header(bytes(start_of_file(**values))).header
    with pytest.raises(kind) as caught:
        check_version(header)
    assert caught.value.jet == jet


def test_a_streaming_backup_has_a_trailer_until_it_is_restored() -> None:
    def header(low: int, high: int) -> DatabaseHeader:
        info = BackupInfo(low=low, high=high)
        return choose_header(bytes(start_of_file(backup_full_current=info))).header

    assert [header(*range_).has_trailer for range_ in ((0, 0), (5, 0), (5, 9))] == [
        False,
        True,
        False,
    ]


@settings(deadline=None, max_examples=50)
@given(st.one_of(st.binary(max_size=300), st.integers(0, 65536).map(bytes), st.integers()))
def test_hostile_starts_give_our_errors_only(start: bytes | int) -> None:
    data = random.Random(start).randbytes(65536) if isinstance(start, int) else start
    with pytest.raises(HeaderDamaged):
        choose_header(data)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(PAGE_SIZES), st.integers())
def test_random_fields_under_a_good_checksum_give_our_errors_only(size: int, seed: int) -> None:
    start = bytearray(random.Random(seed).randbytes(2 * size))
    start[236:240] = size.to_bytes(4, "little")
    start[:4] = header_checksum(start[:size]).to_bytes(4, "little")
    header = choose_header(bytes(start)).header
    assert len(header.as_dict()) == len(DatabaseHeader.fields())
    with pytest.raises(NotEseFile):
        check_version(header)
