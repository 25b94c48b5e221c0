"""What landbridge.yaml says of each domain's own factors, the asset domain_factors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestration.domain_config import Model


class Factors(Model):
    """How a domain's matrix is weighted and factorised, and when an earlier solve is carried on.

    weight_power: an interaction counts its weight to this power; 0: all alike. half_life_days: its age at
    which it counts half; null: at any age as much. smoothing: events added to every degree. update auto: the
    factors of the last as-of before are brought up to date, and solved anew once `lost_limit` of their energy
    is lost. drift_limit: share of the energy that may lie outside the later factors' space before the check
    warns. memory_gb: what a factorisation may take in memory, in GiB; above that it runs from disk; null:
    half of what the process may use.
    """

    rank: int = Field(default=64, ge=1, le=4096)
    normalise: Literal["none", "degree", "tf_idf", "bm25"] = "degree"
    smoothing: float = Field(default=5.0, ge=0)
    weight_power: float = Field(default=0.0, ge=0, le=1)
    half_life_days: float | None = Field(default=None, gt=0)
    update: Literal["never", "auto"] = "never"
    lost_limit: float = Field(default=0.001, gt=0, lt=1)
    drift_limit: float = Field(default=0.5, gt=0, le=1)
    memory_gb: float | None = Field(default=None, gt=0)
