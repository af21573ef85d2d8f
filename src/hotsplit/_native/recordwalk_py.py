"""From the bytes of a log to whole records: sizes, segments, fragments.

Source: log specification 3.3, 4.1.
"""

from __future__ import annotations

# Record type: size of the fixed part, then (offset, width) of each size of the variable part.
_SIZES: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = {
    **{t: (s, ()) for t, s in {
        0: 1, 1: 568, 2: 18, 3: 9, 4: 1, 5: 4, 6: 4, 7: 4, 8: 8, 9: 8, 10: 7, 11: 11, 12: 11,
        13: 11, 17: 1, 18: 18, 21: 4, 23: 1, 24: 56, 25: 48, 26: 60, 32: 44, 35: 44, 42: 22,
        49: 576, 50: 26, 51: 9, 52: 26, 53: 8, 55: 3, 57: 3, 58: 68, 66: 46, 78: 10, 79: 4,
        80: 26, 81: 10, 92: 14, 94: 10, 95: 20, 96: 16, 97: 2, 98: 27, 99: 18, 100: 11, 101: 19,
    }.items()},
    **dict.fromkeys([*range(67, 76), *range(82, 92)], (5, ((1, 4),))),
    14: (43, ((40, 2),)), 15: (75, ((72, 2),)), 16: (7, ((4, 2),)), 19: (3, ((1, 2),)),
    20: (3, ((1, 2),)), 22: (5, ((3, 2),)), 27: (102, ((100, 2), (96, 2), (98, 2))),
    28: (88, ((86, 2),)), 29: (50, ((44, 2), (46, 2), (48, 2))), 30: (48, ((44, 2), (46, 2))),
    31: (52, ((44, 2), (46, 2))), 33: (50, ((44, 2),)), 34: (50, ((44, 2),)),
    36: (56, ((44, 2), (46, 2), (54, 2))), 37: (54, ((44, 2), (46, 2))), 38: (46, ((44, 2),)),
    39: (51, ((44, 2), (46, 2))), 45: (3, ((1, 2),)), 46: (5, ((3, 2),)), 48: (46, ((44, 2),)),
    54: (7, ((3, 4),)), 59: (3, ((1, 2),)), 60: (35, ((33, 2),)), 61: (5, ((3, 2),)),
    62: (110, ((100, 2), (96, 2), (98, 2), (106, 4))), 63: (96, ((86, 2), (92, 4))),
    64: (54, ((52, 2),)), 65: (96, ((88, 4), (92, 4))), 76: (7, ((5, 2),)), 77: (3, ((1, 2),)),
    93: (58, ((44, 2), (46, 2))),
}  # fmt: skip
_CREATE_DB, _REPLACES = 14, (33, 34)
_FRAGMENT_BEGIN, _FRAGMENT, _UNDO_INFO = 76, 77, 36
_MAY_INTERRUPT = (17, 51, _UNDO_INFO)  # records that a later recovery put behind unfinished ones
_MAX_RECORD = 1 << 28
SEGMENT, SEGMENT_HEADER = 4096, 40


def record_size(data: bytes, at: int, end: int) -> int:
    """Bytes of the record at `at`; 0 if it is of no known type or does not fit before `end`."""
    fixed, parts = _SIZES.get(data[at], (0, ()))
    if not fixed or at + fixed > end:
        return 0
    size = fixed
    for offset, width in parts:
        value = int.from_bytes(data[at + offset : at + offset + width], "little")
        size += value & 0x7FFF if data[at] in _REPLACES else value
    if data[at] == _CREATE_DB and data[at + 42] & 4:
        size += 4
    return size if at + size <= end else 0


class RecordWalk:
    """Walks stretches of log data. record, position: of the latest record; why: what is wrong.

    in_parts: the latest record was put together from fragments.
    """

    def __init__(self) -> None:
        self.record = b""
        self.position = 0
        self.why = ""
        self.in_parts = False
        self._data = b""
        self._base = self._at = 0
        self._framed = False
        self._fragments = bytearray()
        self._fragment_total = self._fragment_position = 0

    def feed(self, data: bytes, position: int, offset: int, framed: bool) -> None:
        """Set what is walked; ends the fragments of an earlier file. See `Core.feed`."""
        self._data, self._base, self._at, self._framed = data, position, offset, framed
        self._fragments.clear()
        self._fragment_total = 0
        self.record = b""

    def mark(self) -> tuple[int, bytes, int]:
        """Return the place behind the latest record, which is not in parts."""
        return self._at, self.record, self.position

    def back(self, mark: tuple[int, bytes, int]) -> None:
        """Go back to a place; what follows is read again."""
        self._at, self.record, self.position = mark
        self._fragment_total, self.in_parts, self.why = 0, False, ""

    def next(self) -> bool:
        """Find the next whole record; False at the end of the data or with `why` set."""
        self.why = ""
        data, end = self._data, len(self._data)
        while self._at < end:
            limit = end
            if self._framed:
                if self._at % SEGMENT < SEGMENT_HEADER:
                    self._at += SEGMENT_HEADER - self._at % SEGMENT
                limit = min(self._at - self._at % SEGMENT + SEGMENT, end)
                if self._at >= limit:
                    continue
            if data[self._at] == 0:
                self._at += 1
                continue
            size = record_size(data, self._at, limit)
            if not size:
                self.position = self._position_at(self._at)
                self.why = f"no record of type {data[self._at]} fits here"
                return False
            start, self._at = self._at, self._at + size
            if self._take(data[start : start + size], self._position_at(start)):
                return True
            if self.why:
                return False
        return False

    def _position_at(self, at: int) -> int:
        if not self._framed:
            return self._base + at // 512 * 0x10000 + at % 512
        byte = at % SEGMENT
        return self._base + at // SEGMENT * 0x10000 + (0 if byte <= SEGMENT_HEADER else byte)

    def _take(self, record: bytes, position: int) -> bool:
        """Put fragments together; return whether a whole record is pending."""
        kind = record[0]
        if kind == _FRAGMENT_BEGIN:
            total = int.from_bytes(record[1:5], "little")
            if total > _MAX_RECORD:
                self.position, self.why = position, "a record that is too long"
                return False
            self._fragment_total, self._fragment_position = total, position
            self._fragments = bytearray(record[7:])
        elif kind == _FRAGMENT:
            if not self._fragment_total:
                return False
            self._fragments += record[3:]
        else:
            if self._fragment_total and kind != 71:
                self._fragment_total = 0
                if kind not in _MAY_INTERRUPT:
                    self.position, self.why = position, "a record is not continued"
                    return False
            self.position, self.record, self.in_parts = position, record, False
            return True
        if len(self._fragments) < self._fragment_total:
            return False
        whole, self._fragment_total = bytes(self._fragments), 0
        self.position = self._fragment_position
        if not whole or record_size(whole, 0, len(whole)) != len(whole):
            self.why = "a record in parts has a wrong size"
            return False
        self.record, self.in_parts = whole, True
        return True
