"""The partitions of every asset, derived from the configuration once.

domain x window for events; domain for items and embeddings; target x as-of for everything a model touches.
An as-of key is the moment itself: `2026-03-01` has seen nothing at or after 2026-03-01T00:00Z.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import dagster as dg

from orchestration.config import Calendar, Config, load_config

_CRON = {"day": "0 0 * * *", "week": "0 0 * * 0", "month": "0 0 1 * *"}
DATE_FORMAT = "%Y-%m-%d"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def window_partitions(calendar: Calendar) -> dg.TimeWindowPartitionsDefinition:
    """The calendar's windows [start, end); keyed by their first day."""
    return dg.TimeWindowPartitionsDefinition(
        start=_midnight(calendar.start),
        end=_midnight(calendar.end) if calendar.end else None,
        cron_schedule=_CRON[calendar.grain],
        fmt=DATE_FORMAT,
        timezone="UTC",
    )


def as_of_partitions(calendar: Calendar) -> dg.TimeWindowPartitionsDefinition:
    """The moments at which windows end, from the first window's end to the calendar's end.

    They are the windows' keys moved on by one: the window that starts at the last moment has not ended,
    so the end moves on too, and `end_offset` lets the moment that is now be a key.
    """
    return dg.TimeWindowPartitionsDefinition(
        start=_midnight(calendar.window_end(calendar.start)),
        end=_midnight(calendar.window_end(calendar.end)) if calendar.end else None,
        end_offset=1,
        cron_schedule=_CRON[calendar.grain],
        fmt=DATE_FORMAT,
        timezone="UTC",
    )


CONFIG: Config = load_config()
DOMAINS = dg.StaticPartitionsDefinition(CONFIG.domain_names)
WINDOWS = window_partitions(CONFIG.calendar)
AS_OF = as_of_partitions(CONFIG.calendar)
DOMAIN_WINDOWS = dg.MultiPartitionsDefinition({"domain": DOMAINS, "window": WINDOWS})
DOMAIN_AS_OF = dg.MultiPartitionsDefinition({"as_of": AS_OF, "domain": DOMAINS})
TARGET_AS_OF = dg.MultiPartitionsDefinition({"as_of": AS_OF, "target": DOMAINS})
