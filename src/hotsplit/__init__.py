"""hotsplit: verify, assess, recover and read ESE databases that were copied while running."""

from __future__ import annotations

__version__ = "0.1.0"
