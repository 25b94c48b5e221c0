"""The trained maps that selection may choose from, and those that are measured as peers.

The candidates aim at interactions; EMCDR, the peer, at factors, as its authors do.
"""

from __future__ import annotations

from typing import Any, Literal

from ml.bridge.blocks.profiles import ALSUserFactors
from ml.bridge.contract import Scorer, Task
from ml.bridge.scorers.mapper import Mapper
from ml.bridge.scorers.meta_mapper import MetaMapper

# Source factors are those of the factor bridge, fitted once for both.
ALS: dict[str, Any] = {"rank": 64, "alpha": 10.0, "regularisation": 10.0, "iterations": 10}


def _mapper(task: Task, kind: Literal["linear", "mlp"], **training: Any) -> Mapper:
    blocks: list = [(ALSUserFactors(d, **ALS), 1.0) for d in task.sources]
    return Mapper(blocks, {"als": ALS, **training}, kind)


def mapper_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """Maps from source factors to target factors, for users of whom the target knows nothing."""
    if scenario != "cold":
        return {}
    return {
        "mapper:linear": _mapper(task, "linear"),
        "mapper:mlp": _mapper(task, "mlp"),
        "mapper:mlp-coral": _mapper(task, "mlp", alignment="coral", alignment_weight=10.0),
        "meta_mapper:h16": MetaMapper(task.sources, ALS, {"als": ALS}),
    }


def emcdr(task: Task) -> dict[str, dict[str, Scorer]]:
    """Peer -> name -> unfitted scorer: EMCDR with a linear map and with an MLP, from the sources alone."""
    kinds: tuple[Literal["linear", "mlp"], ...] = ("linear", "mlp")
    return {
        f"emcdr_{kind}": {f"mapper:emcdr-{kind}": _mapper(task, kind, objective="factors")} for kind in kinds
    }
