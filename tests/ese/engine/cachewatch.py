"""How many pages an engine's cache holds at the most, for a test of what it keeps to."""

from __future__ import annotations

import pytest

from hotsplit.ese.engine.pages.cache import Cache


class CacheWatch:
    """most: the most pages that were in memory when a cache was about to be trimmed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most, trim = 0, Cache.trim

        def watched(cache: Cache) -> None:
            self.most = max(self.most, cache.core.resident())
            trim(cache)

        monkeypatch.setattr(Cache, "trim", watched)
