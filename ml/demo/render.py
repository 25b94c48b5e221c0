"""Events as fields: ids, times and values as a log would hold them, with the faults that sit in one field.

A missing field is None; the writers of the formats decide what that looks like. Times stay integers
(seconds), None where the line has no usable time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.demo.dirt import CODE
from ml.demo.events import RATING, TYPES
from ml.demo.plan import DOMAINS

_STRANGE_TYPES = ("impression", "heartbeat", "wishlist", "purchse")
_PREFIX = {domain.name: domain.prefix for domain in DOMAINS}


@dataclass(frozen=True)
class Fields:
    """The columns of n log lines. broken: (n,) bool, lines that no parser must be able to read."""

    users: list[str | None]
    items: list[str | None]
    times: list[int | None]
    types: list[str]
    values: list[int | None]
    broken: list[bool]

    def __len__(self) -> int:
        return len(self.users)


def user_ids(positions: np.ndarray) -> list[str]:
    """The shared ids of users."""
    return [f"u{position:07d}" for position in positions.tolist()]


def render(events: np.ndarray, item_ids: np.ndarray, domain: str) -> Fields:
    """The fields of `events` (EVENT)."""
    fault = events["fault"]
    users: list[str | None] = list(user_ids(events["user"]))
    items: list[str | None] = item_ids[events["item"]].tolist()
    times: list[int | None] = events["time"].tolist()
    types = [TYPES[code] for code in events["type"].tolist()]
    rated = events["type"] == RATING
    values: list[int | None] = [
        value if has else None for value, has in zip(events["value"].tolist(), rated.tolist(), strict=True)
    ]
    for row in np.flatnonzero(fault).tolist():
        kind = fault[row]
        if kind == CODE["padded_id"]:
            users[row], items[row] = f"  {users[row]}", f"{items[row]} "
        elif kind == CODE["missing_user"]:
            users[row] = None
        elif kind == CODE["missing_item"]:
            items[row] = None
        elif kind == CODE["bad_time"]:
            times[row] = None
        elif kind == CODE["unknown_event"]:
            types[row] = _STRANGE_TYPES[row % len(_STRANGE_TYPES)]
        elif kind == CODE["orphan_item"]:
            # Ids of delisted items: numbers the catalogue never gives out.
            items[row] = f"{_PREFIX[domain]}9{events['item'][row] % 10_000:04d}"
    return Fields(users, items, times, types, values, (fault == CODE["unparsable"]).tolist())
