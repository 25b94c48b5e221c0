"""What the recorded decisions about a target's versions add up to: who is champion, who was before, what each
version's tag `review` should say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from orchestration.resources.review_log import (
    APPROVED,
    APPROVED_ONCE,
    BY_PERSON,
    GATE,
    OVERRULED,
    REJECTED,
    ROLLED_BACK,
    Decision,
)

_CROWNED = ("promoted", APPROVED, ROLLED_BACK)
# What the tag `review` of a version says after a decision that stands.
_SAID = {
    "promoted": "promoted",
    "queued": "pending",
    "refused": "refused",
    "superseded": "superseded",
    APPROVED: APPROVED,
    ROLLED_BACK: APPROVED,
    APPROVED_ONCE: APPROVED_ONCE,
    REJECTED: REJECTED,
}
IN_OFFICE = ("promoted", APPROVED)  # what the tag `review` of a champion says


def champion_line(rows: Sequence[Decision]) -> list[int]:
    """The present champion last, before it the one it replaced, and so on; empty where nobody was champion.

    rows: of one model, oldest first. A version that comes back cuts off those that came after it: they are
    what people went back from, so a second rollback goes further back. A rejected one is taken out.
    """
    line: list[int] = []
    for row in rows:
        if row.decision in _CROWNED:
            cut = line.index(row.version) if row.version in line else len(line)
            line = [*line[:cut], row.version]
        elif row.decision == REJECTED:
            line = [number for number in line if number != row.version]
    return line


def was_champion(rows: Sequence[Decision], version: int) -> bool:
    """Whether a version has been what users got, now or before."""
    return any(row.version == version and row.decision in _CROWNED for row in rows)


def latest(rows: Sequence[Decision], version: int) -> Decision | None:
    """The last decision about a version that holds; an overruled one never did."""
    found = [row for row in rows if row.version == version and row.decision != OVERRULED]
    return found[-1] if found else None


def by_persons(rows: Sequence[Decision], version: int) -> int:
    """How many decisions people took about a version: tells one that is taken again from the first."""
    return sum(row.version == version and row.decision in BY_PERSON for row in rows)


def standing(rows: Sequence[Decision], version: int) -> str:
    """What the tag `review` of a version should say."""
    row, line = latest(rows, version), champion_line(rows)
    if row is None:
        return "none"
    if row.decision in _CROWNED and line[-1:] != [version]:
        return "replaced"
    return said(row.decision)


def said(decision: str) -> str:
    """What the tag `review` says after a decision; none after one that leaves a version as it is."""
    return _SAID.get(decision, "none")


def successor(rows: Sequence[Decision], version: int) -> Decision | None:
    """The decision that made another version champion in place of this one; None where none did."""
    crowned = [row for row in rows if row.decision in _CROWNED]
    own = [place for place, row in enumerate(crowned) if row.version == version]
    later = crowned[own[-1] + 1 :] if own else []
    return next((row for row in later if row.version != version), None)


def registered_tags(rows: Sequence[Decision], version: int) -> Mapping[str, str] | None:
    """What a version said of itself when the gate last judged it; None where no row is about it."""
    found = [row for row in rows if row.version == version and row.decided_by == GATE]
    if not found:
        return None
    row = found[-1]
    return {"content_digest": row.content_digest, "data_digest": row.data_digest, **json.loads(row.tags)}
