"""What landbridge.yaml says of how a version becomes champion."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestration.domain_config import Model


class Gate(Model):
    """What a version must hold up to before it may become champion.

    mode: enabled (a version that does not pass cannot be promoted), dry_run (judged and shown, stops nobody)
    or disabled (not judged). margin_twin, margin_champion: what the lower bound of the lift in recall over
    all users must reach; below 0 tolerates a loss that small. least_coverage: the least share of the
    catalogue that test users' lists together show. most_milliseconds: the longest that one user's list may
    take, at the 95th percentile, on the machine that judges; none if left out.
    """

    mode: Literal["enabled", "dry_run", "disabled"] = "enabled"
    margin_twin: float = 0.0
    margin_champion: float = 0.0
    least_coverage: float = Field(default=0.0, ge=0, le=1)
    most_milliseconds: float | None = Field(default=None, gt=0)


class Promotion(Model):
    """Who makes a version champion: a person (manual), the gate (auto), or nobody (off).

    two_people: whether a second person must approve what one approved before it takes effect.
    """

    mode: Literal["manual", "auto", "off"] = "manual"
    two_people: bool = False
    gate: Gate = Gate()
