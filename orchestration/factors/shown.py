"""What a domain's factors look like to a person: its strongest tastes in titles, how far they turned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.factors.files import Earlier, alike
from orchestration.factors_config import Factors

if TYPE_CHECKING:
    import numpy as np

    from ml.data import Catalogue
    from ml.factorize.subspace import Drift
    from ml.factorize.svd import SVD

TOP_FACTORS, TOP_ITEMS = 3, 8
NOTHING = "No factors: the domain has no interactions before this moment."


def top_items(svd: SVD, catalogue: Catalogue) -> str:
    """A markdown table of the leading factors by title: the items at both ends of each, strongest first.

    A factor sets the items of its + end against those of its − end; the head says how much of the matrix's
    energy it explains. An end without items is left out.
    """
    strong = svd.s[:TOP_FACTORS] > 0
    if not strong.any():
        return NOTHING
    explained = svd.energy * svd.s**2 / (svd.s**2).sum()
    columns = {}
    for factor in range(int(strong.sum())):
        for sign, end in ((1, "+"), (-1, "−")):
            titles = _end(sign * svd.v[:, factor], catalogue)
            if titles:
                columns[f"factor {factor + 1} ({explained[factor]:.1%}) {end}"] = titles
    rows = [
        "| " + " | ".join(titles[row] if row < len(titles) else "" for titles in columns.values()) + " |"
        for row in range(max(map(len, columns.values())))
    ]
    return "\n".join([f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *rows])


def _end(entries: np.ndarray, catalogue: Catalogue) -> list[str]:
    """Titles (ids where there is none) of the greatest entries, as long as they are no rounding noise."""
    noise = 1e-3 * float(abs(entries).max(initial=0.0))
    best = (-entries).argsort(kind="stable")[:TOP_ITEMS]
    found = [str(catalogue.titles[i] or catalogue.item_ids[i]) for i in best if entries[i] > noise]
    return [" ".join(title.split())[:60].replace("|", "/") for title in found]


def turned(svd: SVD, item_ids: np.ndarray, earlier: Earlier | None, settings: Factors) -> Drift | None:
    """How far the item space turned since the earlier factors; None where there is nothing to compare."""
    from ml.factorize.subspace import drift

    known = alike(earlier, settings)
    if known is None:
        return None
    return drift(known.items, known.strength, known.item_ids, svd.v, item_ids)


def drift_in_words(found: Drift | None, earlier: Earlier | None, settings: Factors) -> str:
    """What the figure of the check means and what to do about it."""
    if found is None or earlier is None:
        other = earlier is not None
        return "the earlier factors are of another weighting" if other else "no earlier as-of to compare with"
    text = (
        f"{found.turned:.0%} of what the factors as of {earlier.as_of} explained lies outside the space of "
        f"these, on {found.shared:,} items of both"
    )
    if found.turned <= settings.drift_limit:
        return text
    return (
        f"{text}: the domain's tastes changed, or its log did. Compare top_items of both as-of partitions "
        "and mart_data_quality of the windows between; where the change is real, train anew before serving. "
        "A log with few events per item turns much at every window: then raise factors.smoothing or "
        "factors.drift_limit"
    )
