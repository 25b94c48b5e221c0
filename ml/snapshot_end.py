"""Does a snapshot end where it says? Rows at or after its as-of, with the names to look for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from ml.data import Interactions, Snapshot


def late(snapshot: Snapshot) -> list[str]:
    """A sentence for every domain with interactions at or after as-of, with the first of them."""
    found = []
    for domain, log in snapshot.interactions.items():
        rows = np.flatnonzero(log.times >= snapshot.as_of)
        if len(rows):
            many = f"{len(rows):,} interaction{'s' if len(rows) > 1 else ''} of {domain} at or after as-of"
            found.append(f"{many}, the first: {named(snapshot, domain, log, int(rows[0]))}")
    return found


def named(snapshot: Snapshot, domain: str, log: Interactions, row: int) -> str:
    """One interaction of the domain: `user u1, item i7 of books at 2026-03-01 00:00:00+00:00`."""
    user, item = snapshot.users[log.users[row]], snapshot.catalogues[domain].item_ids[log.items[row]]
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(log.times[row]))
    return f"user {user}, item {item} of {domain} at {moment.isoformat(sep=' ', timespec='seconds')}"
