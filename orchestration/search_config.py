"""What landbridge.yaml says of the search for settings before a training."""

from __future__ import annotations

from pydantic import Field

from orchestration.domain_config import Model


class Search(Model):
    """A budget for each target and scenario (cold users; sparse and warm ones); 0 trials: no search.

    seconds: no trial begins later than that. keep: how many of what was found training tries, each of
    another family.
    """

    trials: int = Field(default=0, ge=0, le=10_000)
    seconds: float | None = Field(default=None, gt=0)
    keep: int = Field(default=2, ge=1, le=10)
