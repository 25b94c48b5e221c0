"""Factorise: what one domain's behaviour says by itself, as truncated-SVD and weighted-ALS factors."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Home
from orchestration.files import replaced_file
from orchestration.partitions import DOMAIN_AS_OF

if TYPE_CHECKING:
    import numpy as np

    from ml.data import Catalogue, Interactions
    from ml.factorize.als import ALSFactors
    from ml.factorize.svd import SVD

RANK = 64
TOP_FACTORS, TOP_ITEMS = 3, 8


def factorise(log: "Interactions", seed: int = 0) -> "tuple[SVD, ALSFactors]":
    """Both factorisations of a domain, rank RANK or the smaller side of its matrix; ALS sees every pair as
    plain.
    """
    import numpy as np

    from ml.factorize.als import WeightedALS
    from ml.factorize.normalise import degree
    from ml.factorize.svd import truncated_svd

    plain = log.matrix(np.ones(len(log), np.float32))
    rank = max(1, min(RANK, *plain.shape))
    return (
        truncated_svd(degree(plain).matrix, rank, seed=seed),
        WeightedALS(rank=rank, seed=seed).fit(plain),
    )


def write_factors(path: Path, svd: "SVD", als: "ALSFactors") -> None:
    """svd_u, svd_s, svd_v, als_users and als_items as safetensors, written beside and renamed."""
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {"svd_u": svd.u, "svd_s": svd.s, "svd_v": svd.v, "als_users": als.users, "als_items": als.items}
    with replaced_file(path) as beside:
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, beside)


def top_items(vectors: "np.ndarray", catalogue: "Catalogue") -> str:
    """A markdown table: the items with the greatest entries of the leading factors, by title."""
    columns = []
    for factor in range(min(TOP_FACTORS, vectors.shape[1])):
        strongest = (-abs(vectors[:, factor])).argsort(kind="stable")[:TOP_ITEMS]
        columns.append([str(catalogue.titles[i] or catalogue.item_ids[i])[:60] for i in strongest])
    if not columns:
        return "No factors: the domain has no interactions before this moment."
    head = "| " + " | ".join(f"factor {i + 1}" for i in range(len(columns))) + " |"
    rows = [
        "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in zip(*columns, strict=True)
    ]
    return "\n".join([head, "|---" * len(columns) + "|", *rows])


@dg.asset(
    partitions_def=DOMAIN_AS_OF,
    deps=[
        dg.AssetDep("training_snapshot", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("as_of"))
    ],
    group_name="features",
    kinds={"pytorch"},
)
def domain_factors(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """One domain's interactions before a moment, factorised; look here for what its strongest tastes are."""
    from orchestration.defs.snapshot import snapshot_of
    from orchestration.plots import inline_png, spectrum_plot

    keys = context.partition_key.keys_by_dimension
    as_of, domain = keys["as_of"], keys["domain"]
    snapshot = snapshot_of(as_of)
    if domain not in snapshot.catalogues:
        raise dg.Failure(
            f"the snapshot as of {as_of} has no items of {domain}: materialise raw/items of it first"
        )
    svd, als = factorise(snapshot.interactions[domain])
    path = Home().factors / as_of / f"{domain}.safetensors"
    write_factors(path, svd, als)
    plot = spectrum_plot(svd.s, svd.energy, f"{domain} as of {as_of}")
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(path),
            "interactions": len(snapshot.interactions[domain]),
            "rank": len(svd.s),
            "explained_energy": svd.energy,
            "largest_residual": float(svd.residuals.max(initial=0.0)),
            "spectrum": dg.MetadataValue.md(inline_png(plot, "singular values")),
            "top_items": dg.MetadataValue.md(top_items(svd.v, snapshot.catalogues[domain])),
        }
    )
