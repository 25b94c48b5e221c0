"""A domain's factors as files, and how those of one as-of follow from those of an earlier one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.factors_config import Factors
from orchestration.files import replaced_file

if TYPE_CHECKING:
    import numpy as np

    from ml.data import Interactions
    from ml.factorize.als import ALSFactors
    from ml.factorize.svd import SVD


@dataclass(frozen=True)
class Earlier:
    """The item side of a domain's SVD as of an earlier moment.

    items: (n, k) right singular vectors. strength: (k,) singular values. item_ids: (n,).
    weighting: what of the configuration they were made by; spaces of other weightings are not comparable.
    """

    as_of: str
    items: np.ndarray
    strength: np.ndarray
    item_ids: np.ndarray
    weighting: dict[str, Any]


def weighting_of(settings: Factors) -> dict[str, Any]:
    """The part of the settings that decides what matrix is factorised."""
    return settings.model_dump(include={"normalise", "smoothing", "weight_power", "half_life_days"})


def factors_path(folder: Path, as_of: str, domain: str) -> Path:
    """Where a domain's factors as of a moment lie below Home().factors."""
    return folder / as_of / f"{domain}.safetensors"


def write_factors(
    path: Path, svd: SVD, als: ALSFactors, item_ids: np.ndarray, settings: Factors, origin: str
) -> None:
    """svd_u, svd_s, svd_v, als_users, als_items as safetensors, written beside and renamed.

    The items' ids stand in the header with the weighting and `origin` (solved, or updated from which as-of),
    so that a later as-of can place them in its own catalogue.
    """
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {"svd_u": svd.u, "svd_s": svd.s, "svd_v": svd.v, "als_users": als.users, "als_items": als.items}
    about = {"item_ids": item_ids.tolist(), "weighting": weighting_of(settings), "origin": origin}
    with replaced_file(path) as beside:
        # One key: the header keeps several in no fixed order, and equal factors must be equal bytes.
        save_file(
            {name: np.ascontiguousarray(value) for name, value in tensors.items()},
            beside,
            metadata={"about": json.dumps(about, sort_keys=True)},
        )


def read_earlier(folder: Path, as_of: str, domain: str) -> Earlier | None:
    """The latest factors of `domain` before `as_of`; None where there are none that name their items."""
    import numpy as np
    from safetensors import SafetensorError, safe_open

    before = sorted(
        (path.name for path in folder.glob("*") if path.is_dir() and path.name < as_of), reverse=True
    )
    for moment in before:
        path = factors_path(folder, moment, domain)
        if not path.exists():
            continue
        try:
            opened = safe_open(path, "numpy")
        except SafetensorError as error:
            raise ValueError(
                f"{path} cannot be read ({error}): "
                f"delete it or materialise domain_factors as of {moment} again"
            ) from error
        with opened as file:
            about = (file.metadata() or {}).get("about")
            if about is None:  # written before factors named their items
                continue
            known = json.loads(about)
            ids = np.array(known["item_ids"], dtype=str)
            return Earlier(
                moment, file.get_tensor("svd_v"), file.get_tensor("svd_s"), ids, known["weighting"]
            )
    return None


def weigh(log: Interactions, now: int, settings: Factors) -> tuple[np.ndarray, Any]:
    """The values (m,) that both factorisations read, and the SVD's weighted matrix (n_users, n_items)."""
    from ml.factorize.weighting import weighting

    values = entry_values(log.times, log.weights, now, settings)
    plain = log.matrix(values)
    return values, weighting(plain, settings.normalise, settings.smoothing).of_users(plain)


def entry_values(times: np.ndarray, weights: np.ndarray, now: int, settings: Factors) -> np.ndarray:
    """(m,) float32: what interactions of `weights` (m,) at `times` (m,) count `now`, in microseconds since
    epoch.
    """
    from ml.factorize.normalise import power_damped, time_decay

    values = power_damped(weights, settings.weight_power)
    if settings.half_life_days is None:
        return values
    return values * time_decay(times, now, settings.half_life_days)


def solve(
    matrix: Any, item_ids: np.ndarray, earlier: Earlier | None, settings: Factors, seed: int = 0
) -> tuple[SVD, str]:
    """The SVD of the weighted matrix and its origin: carried on from `earlier` where that loses little.

    Factors of another weighting are no start.
    """
    from ml.factorize.svd import truncated_svd
    from ml.factorize.update import lost_energy, placed, update

    rank = max(1, min(settings.rank, *matrix.shape))
    known = alike(earlier, settings)
    if settings.update == "auto" and known is not None:
        start = placed(known.items, known.item_ids, item_ids)
        found = update(matrix, start, rank, seed=seed)
        if lost_energy(found) <= settings.lost_limit:
            return found, f"updated from {known.as_of}"
    return truncated_svd(matrix, rank, seed=seed), "solved"


def alike(earlier: Earlier | None, settings: Factors) -> Earlier | None:
    """The earlier factors where they are of a matrix weighted as it is now, else None."""
    return earlier if earlier is not None and earlier.weighting == weighting_of(settings) else None
