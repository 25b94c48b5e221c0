"""The faults of real logs, planted in known numbers: at most one a line, so that counts can be checked."""

from __future__ import annotations

import numpy as np

from ml.demo.events import RATING
from ml.demo.plan import DAY, DAYS, EPOCH_START

# The code of a fault is its place here. Lines of `clean` and `padded_id` are good; the others must be caught.
EVENT_FAULTS = (
    "clean",
    "padded_id",
    "unparsable",
    "missing_user",
    "missing_item",
    "bad_time",
    "future_time",
    "before_calendar",
    "unknown_event",
    "negative_value",
    "orphan_item",
    "duplicate",
)
CODE = {name: code for code, name in enumerate(EVENT_FAULTS)}
_SHARES = {
    "padded_id": 0.006,
    "unparsable": 0.003,
    "missing_user": 0.004,
    "missing_item": 0.002,
    "bad_time": 0.002,
    "future_time": 0.001,
    "before_calendar": 0.0015,
    "unknown_event": 0.003,
    "negative_value": 0.001,
    "orphan_item": 0.004,
    "duplicate": 0.008,
}
_AT_LEAST = 2  # of each kind, so that the smallest world has them all
_CENTURY = 36_525 * DAY


def soil_events(events: np.ndarray, can_break: bool, rng: np.random.Generator) -> np.ndarray:
    """`events` (EVENT, clean) with faults in some lines and exact copies of others added, sorted by `logged`.

    can_break: whether the format can hold a line that no parser reads (text can, Parquet cannot). A world
    with too few events for all kinds gets fewer.
    """
    events = events.copy()
    for name, share in _SHARES.items():
        if name == "duplicate" or (name == "unparsable" and not can_break):
            continue
        free = events["fault"] == 0
        if name == "negative_value":
            free &= events["type"] == RATING
        wanted = max(_AT_LEAST, round(share * len(events)))
        events["fault"][rng.permutation(np.flatnonzero(free))[:wanted]] = CODE[name]
    _shift_times(events, rng)
    negative = events["fault"] == CODE["negative_value"]
    events["value"][negative] *= -1
    events = np.concatenate([events, _copies(events, rng)])
    return events[
        np.lexsort((events["fault"], events["type"], events["item"], events["user"], events["logged"]))
    ]


def _shift_times(events: np.ndarray, rng: np.random.Generator) -> None:
    """A century ahead, a year back, or at the epoch: clocks that were never set say 1970."""
    events["time"][events["fault"] == CODE["future_time"]] += _CENTURY
    before = np.flatnonzero(events["fault"] == CODE["before_calendar"])
    unset = rng.random(len(before)) < 0.5
    events["time"][before] = np.where(unset, 0, events["time"][before] - 365 * DAY)


def _copies(events: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exact copies of clean lines, written up to an hour later into the same day's file."""
    clean = np.flatnonzero(events["fault"] == 0)
    wanted = max(_AT_LEAST, round(_SHARES["duplicate"] * len(events)))
    copies = events[rng.permutation(clean)[:wanted]]
    midnight = EPOCH_START + ((copies["logged"] - EPOCH_START) // DAY + 1) * DAY
    copies["logged"] = np.minimum(copies["logged"] + rng.integers(0, 3600, len(copies)), midnight - 1)
    copies["fault"] = CODE["duplicate"]
    return copies


def day_starts(logged: np.ndarray) -> np.ndarray:
    """(DAYS + 1,) offsets of the calendar's days in the sorted times `logged`."""
    return np.searchsorted(logged, EPOCH_START + np.arange(DAYS + 1) * DAY)
