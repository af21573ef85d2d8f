"""The events that an instance tells, kept for a test to look at."""

from __future__ import annotations

from hotsplit.ese.recovery.events import EventId, NoWatch


class Events(NoWatch):
    """Keeps the numbers of events."""

    def __init__(self) -> None:
        self.numbers: list[EventId] = []

    def event(self, number: EventId, text: str, *strings: str) -> None:
        self.numbers.append(number)
