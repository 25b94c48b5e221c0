"""The gate's verdict on a logged model, kept beside it: a model that was tried once is not tried again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlparse

from orchestration.resources.clean_process import some_users, tried

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ml.metrics.gate import Served, Trial, Verdict
    from orchestration.resources.evidence import Evidence

GATE_FILE = "gate.json"


@dataclass(frozen=True)
class Judged:
    """A verdict on the model at `source`, and what its trial in a clean process gave."""

    source: str
    verdict: Verdict
    trial: Trial

    def write(self, client: MlflowClient, run_id: str) -> None:
        """As `gate.json` of a run."""
        document = {
            "source": self.source,
            "passed": self.verdict.passed,
            "conditions": self.verdict.to_json(),
            "trial": asdict(self.trial),
        }
        client.log_dict(run_id, document, GATE_FILE)

    @classmethod
    def read(cls, client: MlflowClient, run_id: str) -> Judged | None:
        """What `write` wrote; None where nothing did."""
        from ml.metrics.gate import Trial, Verdict

        if not any(file.path == GATE_FILE for file in client.list_artifacts(run_id)):
            return None
        found = json.loads(Path(client.download_artifacts(run_id, GATE_FILE)).read_text())
        verdict = Verdict.from_json(found["conditions"])
        return cls(found["source"], verdict, Trial(**found["trial"]))


def judged(evidence: Evidence, source: str, before: Judged | None = None) -> Judged | None:
    """The gate's verdict on the model that was logged at `source` with this evidence; None if disabled."""
    from ml.metrics.gate import Decision, judge

    card, case = evidence.card, evidence.gate
    if case.mode == "disabled":
        return None
    if before is not None and before.source == source:
        trial = before.trial
    else:
        trial = tried(local(source), some_users(evidence.model), card.k)
    decision = Decision(cast("Served", card.serve), card.passed, list(card.reasons))
    return Judged(source, judge(evidence.report, decision, case.rules, case.champion, trial), trial)


def with_verdict(evidence: Evidence, found: Judged | None) -> Evidence:
    """The evidence with the verdict on its card."""
    card = replace(evidence.card, gate=evidence.gate.mode)
    if found is not None:
        card = replace(card, passed=found.verdict.passed, conditions=found.verdict.conditions)
    return replace(evidence, card=card)


def local(source: str) -> Path:
    """The folder behind an artifact's location in our store, a file URI or a path."""
    return Path(unquote(urlparse(source).path)) if source.startswith("file:") else Path(source)
