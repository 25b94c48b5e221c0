"""Map: where the domains' texts lie, and how far apart, before and after they are aligned."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Home
from orchestration.partitions import CONFIG
from orchestration.plots import inline_png

if TYPE_CHECKING:
    import numpy as np

    from ml.text.alignment.domain_map import DomainMap


@dg.asset(
    deps=["item_embeddings"],
    group_name="features",
    kinds={"python"},
)
def domain_map(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """How far the domains' texts lie apart: a picture before and after alignment (CORAL), and distances.

    Nothing is trained on it: it shows whether text can carry taste, or only tells domains apart.
    """
    from ml.text.alignment.domain_map import domain_map as map_of
    from orchestration.domain_map_plot import domain_map_plot

    found = map_of(_vectors(Home()), seed=CONFIG.evaluation.seed)
    if found is None:
        return dg.MaterializeResult(metadata={"left out": ", ".join(CONFIG.domain_names)})
    return dg.MaterializeResult(
        metadata={
            "map": dg.MetadataValue.md(inline_png(domain_map_plot(found), "domains by their texts")),
            # One domain has no distance from another, and Dagster knows no empty table.
            **({"distances": dg.MetadataValue.table(_records(found))} if found.distances else {}),
            **_totals(found),
            "left out": ", ".join(sorted(set(CONFIG.domain_names) - set(found.items))) or "none",
        }
    )


def _vectors(home: Home) -> "Iterator[tuple[str, np.ndarray]]":
    from ml.text.encoding.store import EmbeddingStore
    from orchestration.documents import documents_of, documents_path
    from orchestration.features import encoder_in_use

    encoder = encoder_in_use(CONFIG, home)
    store = EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)
    for domain in CONFIG.domain_names:
        if documents_path(home, domain).is_file():
            yield domain, store.matrix(documents_of(home, domain)["text_hash"].to_pylist())


def _records(found: "DomainMap") -> list[dg.TableRecord]:
    return [
        dg.TableRecord(
            {
                "domains": f"{each.a} – {each.b}",
                "means before": round(each.means_before, 4),
                "means after": round(each.means_after, 4),
                "CORAL before": f"{each.coral_before:.3g}",
                "CORAL after": f"{each.coral_after:.3g}",
            }
        )
        for each in found.distances
    ]


def _totals(found: "DomainMap") -> dict[str, float]:
    """Root mean squares over the pairs of domains; none with a single domain."""
    if not found.distances:
        return {}
    means = [(each.means_before, each.means_after) for each in found.distances]
    corals = [(each.coral_before, each.coral_after) for each in found.distances]
    return {
        "distance of means before": round(_rms(before for before, _ in means), 5),
        "distance of means after": round(_rms(after for _, after in means), 5),
        "CORAL distance before": sum(before for before, _ in corals) / len(corals),
        "CORAL distance after": sum(after for _, after in corals) / len(corals),
    }


def _rms(values: Iterator[float]) -> float:
    squares = [value**2 for value in values]
    return math.sqrt(sum(squares) / len(squares))
