"""Profiles that no real file could be had for, on databases made with the documented columns.

What a column means is said by the documents named in the profiles; how it is stored is not, so each
value is tried in the forms that applications use.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.export.job import Job
from hotsplit.ese.export.manifest import Plan
from hotsplit.ese.export.titles import named_table, profile_of
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import Coltyp, DateTime
from hotsplit.ese.read.database import Database

SCHEMAS: dict[str, dict[str, list[str]]] = tomllib.loads(
    (Path(__file__).parents[2] / "data" / "schemas.toml").read_text(encoding="utf-8")
)
WHEN = dt.datetime(2024, 2, 29, 12, 34, 56, 789000)
TICKS = ((WHEN - dt.datetime(1601, 1, 1)) // dt.timedelta(microseconds=1)) * 10
TIME, SHOWN = DateTime(TICKS.to_bytes(8, "little")), "2024-02-29T12:34:56.789Z"
ID = uuid.UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")
SID = bytes([1, 2, 0, 0, 0, 0, 0, 5]) + (32).to_bytes(4, "little") + (544).to_bytes(4, "little")

# By profile and table: column, value as stored, what it is to become.
VALUES: dict[str, dict[str, list[tuple[str, Any, Any]]]] = {
    "certificate-services": {
        "Requests": [
            ("RequestID", 7, 7),
            ("Disposition", 21, "revoked"),
            ("RequestType", 0x400, "CMC"),
            ("RequestFlags", 0x2 | 0x80, "RENEWAL|CACROSSCERT"),
            ("StatusCode", 0x1234, "0x1234"),
            ("RevokedReason", 6, "certificate hold"),
            ("SubmittedWhen", TIME, SHOWN),
            ("RevokedEffectiveWhen", TIME, SHOWN),
            ("RequesterName", "EXAMPLE\\anna", "EXAMPLE\\anna"),
            ("RawArchivedKey", b"\1\2", "0102"),
        ],
        "Certificates": [
            ("RequestID", 7, 7),
            ("NotBefore", TIME, SHOWN),
            ("NotAfter", TIME, SHOWN),
            ("EnrollmentFlags", 0x80000 | 0x8, "PUBLISH_TO_DS|NO_SECURITY_EXTENSION"),
            ("GeneralFlags", 0x40, "MACHINE_TYPE"),
            ("PrivatekeyFlags", 0x10, "EXPORTABLE_KEY"),
        ],
        "CertificateExtensions": [("ExtensionRequestId", 7, 7), ("ExtensionFlags", 1, "critical")],
        "CRLs": [
            ("CRLRowId", 1, 1),
            ("CRLThisUpdate", TIME, SHOWN),
            ("CRLPropagationComplete", TIME, SHOWN),
            ("CRLPublishFlags", 0x41, "BASE|MANUAL"),
        ],
    },
    "dhcp": {
        "FilterTable": [("MacAddress", b"\0\x11\x22\x33\x44\x55", "00:11:22:33:44:55")],
        "ClientTable": [
            ("ClientIpAddress", 0x0A00_0102, "10.0.1.2"),
            ("SubnetMask", 0x7FFF_FF00, "127.255.255.0"),
            ("ClientHardwareAddress", b"\0\x11\x22\x33\x44\x55", "00:11:22:33:44:55"),
            ("ClientLeaseExpires", TIME, SHOWN),
            ("bClientType", 1, "dhcp"),
            ("AddressState", 1, "active"),
        ],
    },
    "exchange-2013": {
        "Mailbox": [
            ("MailboxNumber", 101, 101),
            ("MailboxGuid", ID.bytes_le, str(ID)),
            ("MailboxOwnerDisplayName", "Anna", "Anna"),
            ("LastLogonTime", TIME, SHOWN),
        ],
        "MailboxIdentity": [("MailboxNumber", 101, 101), ("LocalIdGuid", ID.bytes_le, str(ID))],
        "Folder_101": [
            ("SpecialFolderNumber", 10, "inbox"),
            ("CreatorSid", SID, "S-1-5-32-544"),
            ("LocalCommitTimeMax", TIME, SHOWN),
        ],
        "Message_101": [
            ("DateReceived", TIME, SHOWN),
            ("Importance", 2, "high"),
            ("PropertyBlob", b"ProP", "50726f50"),
        ],
        "ExtendedPropertyNameMapping_101": [("PropGuid", ID.bytes_le, str(ID))],
    },
    "exchange": {
        "Mailbox": [("MailboxGuid", ID.bytes_le, str(ID))],
        "Folders": [("T30070040", TIME, SHOWN)],
        "Msg": [
            ("T0E060040", TIME, SHOWN),
            ("L0E080003", 4096, 4096),
            ("J0037001F", "Hi", "Hi"),
            ("L0E070003", 0x11, "READ|HASATTACH"),
            ("T12340040", TIME, SHOWN),
        ],
    },
}
NAMES = {"T30070040": "CreationTime", "T0E060040": "MessageDeliveryTime", "J0037001F": "Subject"}
NAMES |= {"L0E080003": "MessageSize", "L0E070003": "MessageFlags"}


def column(name: str, value: Any) -> Column:
    if isinstance(value, DateTime):
        return Column(name, Coltyp.DATE_TIME)
    if isinstance(value, int):
        return Column(name, Coltyp.LONG if abs(value) < 1 << 31 else Coltyp.LONG_LONG)
    return Column(name, Coltyp.LONG_TEXT if isinstance(value, str) else Coltyp.LONG_BINARY)


def make(folder: Path, tables: Mapping[str, list[tuple[str, Any, Any]]]) -> Path:
    """Make a database with a row in each table."""
    settings = Settings(str(folder / "logs"), page_size=8192, log_size=64 << 10)
    with closing(Instance.open(OsEnv(), settings)) as instance:
        database = instance.create_database(str(folder / "some.edb"))
        session = instance.session()
        for name, values in tables.items():
            columns = [column(c, value) for c, value, _ in values]
            table = session.create_table(database, name, columns, [])
            with session.transaction():
                table.insert({c: value for c, value, _ in values})
    return folder / "some.edb"


@pytest.mark.parametrize("name", VALUES)
def test_values_become_what_they_mean(name: str, tmp_path: Path) -> None:
    path = make(tmp_path, VALUES[name])
    with Database.open(OsEnv(), str(path)) as db:
        report = Job(OsEnv(), db, str(tmp_path / "out"), Plan("jsonl")).run()
    assert report.profile == name
    assert [result.table for result in report.results] == list(VALUES[name])
    for result in report.results:
        row = json.loads((tmp_path / "out" / result.file).read_text())
        for stored, _, wanted in VALUES[name][result.table]:
            assert row[NAMES.get(stored, stored)] == wanted, stored


@pytest.mark.parametrize("name", [name for name in VALUES if name in SCHEMAS and name != "dhcp"])
def test_the_columns_are_documented(name: str) -> None:
    for table, values in VALUES[name].items():
        assert {column for column, _, _ in values} <= set(SCHEMAS[name][table])


def test_more_than_values(tmp_path: Path) -> None:
    """Secrets are marked, text columns may have a dollar sign, owners come from their table."""
    tables: dict[str, list[tuple[str, Any, Any]]] = {
        "Requests": [("$Disposition", 20, "issued"), ("RawArchivedKey", b"\1", "01")],
        "Certificates": [("RequestID", 1, 1)],
        "CRLs": [("CRLRowId", 1, 1)],
    }
    with Database.open(OsEnv(), str(make(tmp_path / "a", tables))) as db:
        report = Job(OsEnv(), db, str(tmp_path / "out"), Plan("jsonl")).run()
    assert {c["name"]: c.get("encrypted") for c in report.results[0].columns} == {
        "$Disposition": None,
        "RawArchivedKey": True,
    }
    assert json.loads((tmp_path / "out" / "requests.jsonl").read_text())["$Disposition"] == "issued"
    path = make(tmp_path / "b", VALUES["exchange-2013"])
    with Database.open(OsEnv(), str(path)) as db:
        Job(OsEnv(), db, str(tmp_path / "mail"), Plan("jsonl")).run()
    row = json.loads((tmp_path / "mail" / "mailbox_identities.jsonl").read_text())
    assert row["Owner"] == "Anna"
    assert row["MailboxNumber"] == 101


def test_containers_are_called_by_what_they_hold(tmp_path: Path) -> None:
    """WebCacheV01.dat says in one table what the other tables are for."""
    url = "Visited: anna@https://example.org/"
    tables: dict[str, list[tuple[str, Any, Any]]] = {
        "Containers": [("ContainerId", 7, 7), ("Name", "History", "History")],
        "Container_7": [("UrlHash", -2, 0), ("AccessedTime", TICKS, SHOWN), ("Url", url, url)],
        "Container_8": [("Url", url, url)],
        "CookieEntryEx_3": [
            ("Expires", TICKS, SHOWN),
            ("LastModified", TICKS, SHOWN),
            ("RDomain", b"org.example\0", "org.example"),
            ("Value", b"\xff\xfe\xfd", "fffefd"),
        ],
        "HstsEntryEx_2": [("LastTimeUsed", TICKS, SHOWN)],
        "LeakFiles": [("LeakId", 1, 1)],
    }
    with Database.open(OsEnv(), str(make(tmp_path, tables))) as db:
        report = Job(OsEnv(), db, str(tmp_path / "out"), Plan("jsonl")).run()
        profile = profile_of(OsEnv(), "auto", db)
        assert named_table(db, "history_7", profile).name == "Container_7"
    titles = {result.table: result.title for result in report.results}
    assert titles["Container_7"] == "History_7"
    assert titles["Container_8"] == "Container_8"
    row = json.loads((tmp_path / "out" / "History_7.jsonl").read_text())
    assert row["AccessedTime"] == SHOWN
    for table in "CookieEntryEx_3", "HstsEntryEx_2":
        row = json.loads((tmp_path / "out" / f"{table}.jsonl").read_text())
        assert row == {column: wanted for column, _, wanted in tables[table]}
