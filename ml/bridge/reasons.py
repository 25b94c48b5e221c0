"""Why an item is on a list, in a sentence: the past items that carry its score, by title and share."""

from __future__ import annotations

from collections.abc import Callable

from ml.bridge.contract import Parts

NAMED = 2  # past items that a sentence names


def because(parts: Parts, j: int, title: Callable[[str, int], str]) -> str:
    """The sentence for item `j` of `parts`. title: domain, position -> how a past item is called.

    A share is of all that speaks for the item; what speaks against it is left out.
    """
    shares: dict[tuple[str, int], float] = {}
    for domain, (positions, values) in parts.by_domain.items():
        for position, value in zip(positions, values[:, j], strict=True):
            shares[domain, int(position)] = shares.get((domain, int(position)), 0.0) + float(value)
    helping = sum(v for v in shares.values() if v > 0) + max(float(parts.constant[j]), 0.0)
    best = sorted(shares.items(), key=lambda entry: (-entry[1], entry[0]))[:NAMED]
    named = [
        f"{title(domain, position)} in {domain}: {value / helping:.0%}"
        for (domain, position), value in best
        if value > 0
    ]
    return f"because of {'; '.join(named)}" if named else "popular here"
