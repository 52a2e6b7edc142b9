"""The time as whole milliseconds since 1970 in UTC, given to services as a number and to the app as a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]
"""Gives the time in milliseconds since 1970, UTC."""

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def wall_clock() -> int:
    """The time of this machine."""
    return time.time_ns() // 1_000_000


def iso(moment: int) -> str:
    """A moment as `2026-01-31T12:00:00.000Z`, as exports have it."""
    return datetime.fromtimestamp(moment / 1000, tz=UTC).isoformat("T", "milliseconds").replace("+00:00", "Z")
