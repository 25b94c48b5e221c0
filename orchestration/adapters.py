"""Which fine-tuned encoder is in use: the newest one that its gate let pass and that still may be used.

encoders/<as_of>/ holds one fine-tuning: adapter/, the update itself, and decision.json, what was measured and
decided, written last. Without a decision there is nothing to use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.config import Config, Home, as_of_time

if TYPE_CHECKING:
    from ml.text.adapt.pairs import Visibility

ADAPTER, DECISION = "adapter", "decision.json"


def visibility(config: Config, as_of: date) -> Visibility:
    """What the evaluation as of a day hides, as `ml` wants to know it."""
    from ml.text.adapt.pairs import Visibility
    from orchestration.defs.transfer import horizon

    rules = config.evaluation
    span = horizon(config.calendar, rules.horizon, as_of)
    return Visibility(rules.cold_user_fraction, span, rules.seed, rules.protocol)


@dataclass(frozen=True)
class Adapters:
    """The fine-tunings below a home."""

    config: Config
    home: Home

    def folder(self, as_of_key: str) -> Path:
        """Where the fine-tuning of an as-of key lies."""
        return self.home.root / "encoders" / as_of_key

    def decision(self, as_of_key: str) -> dict[str, Any] | None:
        """What was decided about it; None where it was never finished."""
        path = self.folder(as_of_key) / DECISION
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def in_use(self, as_of_key: str | None = None) -> Path | None:
        """The adapter for a snapshot as of a day (None: for new texts): of the newest fine-tuning, no later
        than that day, that passed and may be used with this configuration; else None, the base encoder."""
        if self.config.encoder.adaptation is None:
            return None
        keys = sorted(path.parent.name for path in self.folder("*").parent.glob(f"*/{DECISION}"))
        for key in reversed([k for k in keys if as_of_key is None or k <= as_of_key]):
            if self._usable(self.decision(key) or {}, as_of_key or key):
                return self.folder(key) / ADAPTER
        return None

    def _usable(self, decision: dict[str, Any], as_of_key: str) -> bool:
        """Passed, of this base encoder, and trained on nothing that the evaluation as of the day hides."""
        now, day = self.config.evaluation, date.fromisoformat(as_of_key)
        return bool(
            decision.get("passed")
            and decision["base"] == self._base
            and decision["hidden"]["seed"] == now.seed
            and decision["hidden"]["cold_user_fraction"] >= now.cold_user_fraction
            # The other protocols hide what `time` hides, and more of a history.
            and now.protocol in ("time", decision["hidden"].get("protocol", "time"))
            and decision["cut"] <= as_of_time(day) - 2 * visibility(self.config, day).horizon
        )

    @cached_property
    def _base(self) -> str:
        from orchestration.features import text_encoder

        return text_encoder(self.config).key
