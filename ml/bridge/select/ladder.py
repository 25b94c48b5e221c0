"""The ladder of a cohort: what serves its users, and what would if that failed.

The gate (`ml.metrics.gate`) decides for a whole target: bridge, else twin, else popularity. Where validation
gave a cohort no source, bridge and twin are one and the same there; the ladder says which rungs differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml.bridge.select.blend import Blend
from ml.metrics.cohorts import USER_COHORTS

RUNGS = ("bridge", "twin", "popularity")
POPULARITY = Blend({"popularity": 1.0})


def ladders(blends: Mapping[str, Mapping[str, Blend]]) -> dict[str, list[dict[str, Any]]]:
    """Cohort -> rungs from the most to the least that is known, {"candidate", "blend"}; JSON-able.

    blends: candidate -> cohort -> blend; a cohort left out is served what is popular. Of rungs that are the
    same blend only the simplest is named.
    """
    found = {}
    for cohort in USER_COHORTS:
        rungs = [(name, blends.get(name, {}).get(cohort, POPULARITY)) for name in RUNGS]
        simplest = {tuple(sorted(blend.weights.items())): name for name, blend in rungs}
        found[cohort] = [
            {"candidate": name, "blend": dict(blend.weights)}
            for name, blend in rungs
            if simplest[tuple(sorted(blend.weights.items()))] == name
        ]
    return found


def in_words(cohort: str, rungs: Sequence[Mapping[str, Any]]) -> str:
    """One cohort's ladder as a sentence: `cold users: the bridge (…); should it fail, popularity`."""
    first, *others = [_rung(rung) for rung in rungs]
    return "; should it fail, ".join([f"{cohort} users: {first}", *others])


def _rung(rung: Mapping[str, Any]) -> str:
    if rung["candidate"] == "popularity":
        return "the most popular items"
    heaviest = sorted(rung["blend"].items(), key=lambda entry: -entry[1])
    return f"the {rung['candidate']} ({', '.join(f'{share:.0%} {name}' for name, share in heaviest)})"
