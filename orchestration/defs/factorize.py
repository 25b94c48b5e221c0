"""Factorise: what one domain's behaviour says by itself, as truncated-SVD and weighted-ALS factors."""

from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Home
from orchestration.partitions import CONFIG, DOMAIN_AS_OF

if TYPE_CHECKING:
    from ml.factorize.subspace import Drift

DRIFT_CHECK = "factors_drift"
_DRIFT = "The domain's item space has not turned far since the last as-of that has factors."


@dg.asset(
    partitions_def=DOMAIN_AS_OF,
    deps=[
        dg.AssetDep("training_snapshot", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("as_of"))
    ],
    group_name="features",
    kinds={"pytorch"},
    check_specs=[dg.AssetCheckSpec(DRIFT_CHECK, asset="domain_factors", description=_DRIFT)],
)
def domain_factors(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """One domain's interactions before a moment, factorised; look here for what its strongest tastes are."""
    from ml.factorize.update import lost_energy
    from ml.snapshot_files import read_catalogue
    from orchestration.defs.snapshot import snapshot_path
    from orchestration.factors.files import factors_path, read_earlier, write_factors
    from orchestration.factors.shown import drift_in_words, top_items, turned
    from orchestration.factors.solve import GIB, factorised
    from orchestration.plots import inline_png, spectrum_plot

    keys, settings, folder = context.partition_key.keys_by_dimension, CONFIG.factors, Home().factors
    as_of, domain = keys["as_of"], keys["domain"]
    catalogue, earlier = read_catalogue(snapshot_path(as_of), domain), read_earlier(folder, as_of, domain)
    if not len(catalogue):
        raise dg.Failure(
            f"the snapshot as of {as_of} has no items of {domain}: materialise raw/items of it first"
        )
    path = factors_path(folder, as_of, domain)
    with factorised(snapshot_path(as_of), domain, catalogue.item_ids, earlier, settings) as made:
        svd, size = made.svd, made.size
        write_factors(path, svd, made.als, catalogue.item_ids, settings, made.origin)
    found = turned(svd, catalogue.item_ids, earlier, settings)
    plot = spectrum_plot(svd.s, svd.energy, f"{domain} as of {as_of}")
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(path),
            "interactions": size.entries,
            "rank": len(svd.s),
            "origin": made.origin,
            "out_of_core": made.out_of_core,
            "estimated_memory_gb": size.needed / GIB,
            "explained_energy": svd.energy,
            "largest_residual": float(svd.residuals.max(initial=0.0)),
            "lost_energy": lost_energy(svd),
            "spectrum": dg.MetadataValue.md(inline_png(plot, "singular values and explained energy")),
            "top_items": dg.MetadataValue.md(top_items(svd, catalogue)),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=DRIFT_CHECK,
                passed=found is None or found.turned <= settings.drift_limit,
                severity=dg.AssetCheckSeverity.WARN,
                description=drift_in_words(found, earlier, settings),
                metadata=_angles(found),
            )
        ],
    )


def _angles(found: "Drift | None") -> dict[str, dg.MetadataValue]:
    """Principal angles in degrees, least first, and the weighted figure; nothing where none was measured."""
    if found is None:
        return {}
    return {
        "turned": dg.MetadataValue.float(found.turned),
        "shared_items": dg.MetadataValue.int(found.shared),
        "principal_angles": dg.MetadataValue.json([round(float(angle), 2) for angle in found.angles]),
    }
