"""Decoders give the documented forms, and leave alone what they do not understand."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.ese.export.decoders import NAMES, Decoder, sid_text
from hotsplit.ese.format.columns import DateTime

EXAMPLES: list[tuple[str, Any, Any]] = [
    # [MS-DTYP] and documentation of Windows: well-known values.
    ("filetime", 132680151601234567, "2021-06-12T23:46:00.1234567Z"),
    ("filetime", 116444736000000000, "1970-01-01T00:00:00Z"),
    ("filetime", 0, None),
    ("filetime", 2**63 - 1, None),
    ("filetime", (116444736000000000).to_bytes(8, "little"), "1970-01-01T00:00:00Z"),
    ("filetime", DateTime(struct.pack("<q", 116444736000000000)), "1970-01-01T00:00:00Z"),
    ("ole", DateTime(struct.pack("<d", 25569.5)), "1970-01-01T12:00:00Z"),
    ("seconds1601", 11644473600, "1970-01-01T00:00:00Z"),
    ("unix", 1623623160, "2021-06-13T22:26:00Z"),
    ("sid", bytes.fromhex("010100000000000512000000"), "S-1-5-18"),
    ("sid", bytes.fromhex("01020000000000052000000020020000"), "S-1-5-32-544"),
    ("sid-be", bytes.fromhex("01020000000000052000000000000220"), "S-1-5-32-544"),
    (
        "guid",
        bytes.fromhex("33221100554477668899aabbccddeeff"),
        uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
    ),
    ("utf16", "abc\0".encode("utf-16-le"), "abc"),
    ("utf8", "é".encode(), "é"),
    ("ip", bytes([192, 168, 1, 2]), "192.168.1.2"),
    ("ip", bytes([10, 0, 0, 111]) + bytes(12), "10.0.0.111"),
    ("ip", bytes(15) + b"\1", "::1"),
    ("ip-int", 0xC0A80102, "192.168.1.2"),
    ("ip-int", 0xC0A80102 - 2**32, "192.168.1.2"),
    ("mac", bytes.fromhex("001122aabbcc"), "00:11:22:aa:bb:cc"),
    ("sid-utf16", bytes.fromhex("010100000000000512000000"), "S-1-5-18"),
    ("sid-utf16", "svchost.exe\0".encode("utf-16-le"), "svchost.exe"),
    ("sid-utf16", b"\1\2\3", b"\1\2\3"),
    ("filetime", (133_000_000_000_000_000).to_bytes(8, "little"), "2022-06-18T04:26:40Z"),
    ("filetime", (133_000_000_000_000_000).to_bytes(8, "big"), "2022-06-18T04:26:40Z"),
    ("filetime", (100_000_000_000_000_000).to_bytes(8, "little"), "1917-11-21T17:46:40Z"),
    ("hex", 255, "0xff"),
    ("hex", -2145124318, "0x80240022"),  # as an HRESULT lies in a Long
    ("hex", -(1 << 63) + 5, "0x8000000000000005"),
    ("text", "Web Server\0\0\0", "Web Server"),
    ("text", "a\0b", "a\0b"),
    ("text", b"no text", b"no text"),
    ("secret", b"\1\2", b"\1\2"),
]


@pytest.mark.parametrize(("name", "value", "wanted"), EXAMPLES)
def test_examples(name: str, value: Any, wanted: Any) -> None:
    assert Decoder(name)(value) == wanted
    assert Decoder(name)([value, None]) == [wanted, None]


def test_flags_and_enum() -> None:
    flags = Decoder("flags", {1: "A", 2: "B", 0x10: "C"})
    assert flags(0x13) == "A|B|C"
    assert flags(0x21) == "A|0x20"
    assert flags(0) == "0"
    assert Decoder("enum", {3: "user"})(3) == "user"
    assert Decoder("enum", {3: "user"})(4) == 4
    signed = {0x2: "GLOBAL", 0x80000000: "SECURITY_ENABLED"}
    assert Decoder("flags", signed)(-2147483646) == "GLOBAL|SECURITY_ENABLED"
    assert Decoder("enum", signed)(-2147483648) == "SECURITY_ENABLED"


@pytest.mark.parametrize("name", NAMES)
@given(value=st.one_of(st.binary(max_size=40), st.integers(-(2**63), 2**64), st.text(), st.none()))
def test_nothing_raises(name: str, value: Any) -> None:
    Decoder(name)(value)


@given(data=st.binary(max_size=80))
def test_only_whole_identifiers(data: bytes) -> None:
    text = sid_text(data)
    assert (text is not None) == (
        len(data) >= 8 and data[0] == 1 and data[1] <= 15 and len(data) == 8 + 4 * data[1]
    )


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no decoder"):
        Decoder("rot13")
