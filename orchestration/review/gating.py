"""The gate as configured: what it holds a version to, and its verdict as asset checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from ml.metrics.gate import Against, Rules, Verdict
    from orchestration.promotion_config import Gate

# In the order of `ml.metrics.gate.judge`, which is not imported here: definitions load without it.
CONDITIONS = {
    "over_twin": "Recall over all users is no lower than what the next simpler candidate reaches.",
    "over_champion": "Recall over all users is no lower than the champion's recipe on the same users.",
    "no_cohort_worse": "No cohort is certainly worse off than with the simpler candidate or the champion.",
    "coverage": "Lists show enough of the catalogue.",
    "latency": "One user's list is fast enough.",
    "clean_process": "The registered model loads and predicts in a process that knows nothing else.",
}


def _no_rules() -> Rules:
    from ml.metrics.gate import Rules

    return Rules()


def _nobody() -> Against:
    from ml.metrics.gate import Against

    return Against("none", "There is no champion yet that it would have to be better than.")


@dataclass(frozen=True)
class GateCase:
    """What a version is held to: the mode and rules of the configuration, and the champion it meets."""

    mode: str = "disabled"
    rules: Rules = field(default_factory=_no_rules)
    champion: Against = field(default_factory=_nobody)

    @classmethod
    def of(cls, gate: Gate, champion: Against) -> GateCase:
        """From landbridge.yaml's `promotion.gate`."""
        from ml.metrics.gate import Rules

        return cls(gate.mode, Rules(**gate.model_dump(exclude={"mode"})), champion)


def is_refused(version: ModelVersion) -> bool:
    """Whether the gate keeps a version from becoming champion."""
    return version.tags.get("gate") == "enabled" and version.tags.get("validation_status") == "failed"


def check_specs(mode: str, asset: str) -> list[dg.AssetCheckSpec]:
    """A check for each condition; none where nothing is judged."""
    if mode == "disabled":
        return []
    return [dg.AssetCheckSpec(name, asset=asset, description=words) for name, words in CONDITIONS.items()]


def check_results(mode: str, verdict: Verdict | None) -> list[dg.AssetCheckResult]:
    """The conditions as check results: a warning where the gate only says what it would do."""
    if mode == "disabled" or verdict is None:
        return []
    severity = dg.AssetCheckSeverity.ERROR if mode == "enabled" else dg.AssetCheckSeverity.WARN
    return [
        dg.AssetCheckResult(
            check_name=condition.name,
            passed=condition.passed,
            severity=severity,
            metadata={"words": condition.words},
        )
        for condition in verdict.conditions
    ]


def in_words(mode: str, verdict: Verdict | None) -> str:
    """What the gate says of a version, as a paragraph."""
    if mode == "disabled" or verdict is None:
        return "The gate is disabled: nothing was judged."
    if mode == "dry_run":
        return f"The gate is on a dry run and stops nobody. {verdict.words}"
    return verdict.words


def as_tags(case: GateCase, passed: bool, verdict: Verdict | None) -> dict[str, Any]:
    """The tags that say how a version was judged; passed: whether the bridge is served, without a verdict."""
    failed = [condition.name for condition in verdict.conditions if not condition.passed] if verdict else []
    status = verdict.passed if verdict else passed
    return {
        "gate": case.mode,
        "validation_status": "passed" if status else "failed",
        "gate_failed": ", ".join(failed) or "none",
    }
