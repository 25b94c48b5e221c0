"""What each question to test users hides and asks, in sentences: a figure means nothing without them.

`Protocol` in `protocol.py` makes the splits; what stands here is shown with them in Dagster and on the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Definition:
    """hides: what no model may read while it is chosen and measured. asks: what lists are compared with, and
    whose. caution: what its figures do not say. time_honest: whether nothing is read that came later than
    what is asked."""

    name: str
    hides: str
    asks: str
    caution: str
    time_honest: bool

    @property
    def words(self) -> str:
        """The definition in one paragraph."""
        order = "" if self.time_honest else " Not a forecast: what came later is read."
        return f"{self.name}. Hidden: {self.hides}. Asked: {self.asks}.{order} {self.caution}"


# How users with a history in the target are asked (`evaluation.protocol`) -> the share of that history which
# is hidden; None: what came after a moment, in every domain. A share of 0 hides the last item alone.
HISTORY: Mapping[str, float | None] = {"time": None, "last_fraction": 0.2, "leave_one_out": 0.0}

_OTHER_USERS = "Settings were chosen on other users, one step earlier; those users are not measured."

PROTOCOLS: Mapping[str, Definition] = {
    "cold": Definition(
        "cold users by hash",
        "the whole target history of a fixed share of users, drawn by a hash of their id, and what the "
        "target's files tell of them",
        "everything those users took in the target, by their histories in the other domains",
        "Other domains are read up to as-of, also what the users did there after they came to the target. "
        "Settings were chosen on a further half share of users, hidden as well and not measured.",
        time_honest=False,
    ),
    "time": Definition(
        "global time",
        "everything in every domain at or after as-of less the horizon",
        "what users with a target history before that moment newly took until as-of",
        f"{_OTHER_USERS} A snapshot holds a user's interaction with an item once, at its last time: what was "
        "taken before that moment and again after it is hidden and asked as new, and what was cancelled "
        "until as-of is gone from both sides.",
        time_honest=True,
    ),
    "last_fraction": Definition(
        "last fraction per user",
        "the last fifth of every target history of three items or more, at least one, whatever its date",
        "that last fifth",
        f"Other users' later interactions and the whole of the other domains are read. {_OTHER_USERS}",
        time_honest=False,
    ),
    "leave_one_out": Definition(
        "leave-one-out",
        "the last item of every target history of three items or more, whatever its date",
        "that one item: recall is 0 or 1 for each user",
        f"Other users' later interactions and the whole of the other domains are read. {_OTHER_USERS}",
        time_honest=False,
    ),
    "new_users": Definition(
        "new users after their first events",
        "what is hidden from cold users, less their first 1, 2, 3 or 5 events in the target",
        "everything those users took in the target after these events",
        "The models are those of the cold users, fitted without any of it. Which blend serves a user with so "
        "many events was chosen on other users, by models that had read these users' older histories.",
        time_honest=False,
    ),
    "cold_items": Definition(
        "cold items",
        "everything in every domain at or after as-of less the horizon",
        "the items with text that nobody had touched by then and that users took until as-of, ranked among "
        "such items alone",
        f"{_OTHER_USERS} The catalogue is that of as-of: its texts may have been edited since.",
        time_honest=True,
    ),
}


def protocols_of(history: str) -> tuple[Definition, ...]:
    """The definitions of all that a training asks whose users with a history are asked by `history`."""
    return tuple(PROTOCOLS[name] for name in ("cold", history, "new_users", "cold_items"))
