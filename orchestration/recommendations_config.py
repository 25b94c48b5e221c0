"""What landbridge.yaml says of the lists that are served, beyond which items score best."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from orchestration.domain_config import Model


class Recommendations(Model):
    """How a list is put together from the best scores; the defaults leave it as the scores rank it.

    diversity: how much likeness to the items above costs an item, against its score (MMR's 1 - lambda).
    popularity_penalty: how much popularity costs it. depth: how many of the best items are re-ranked.
    cold_item_slots: how many of a list's last places go to items with text that nobody has touched yet. The
    settings are part of a trained model: a change takes a new training, and the card shows its price.
    keep_lists: how many of a target's served lists stay on disk, to be held against what users took; 0: none.
    """

    diversity: float = Field(default=0.0, ge=0, lt=1)
    popularity_penalty: float = Field(default=0.0, ge=0, le=1)
    depth: int = Field(default=50, ge=1, le=1000)
    cold_item_slots: int = Field(default=0, ge=0, le=999)
    keep_lists: int = Field(default=60, ge=0)

    @property
    def rerank(self) -> dict[str, Any]:
        """What `ml.retrieval.rerank.RerankRules` takes."""
        return self.model_dump(include={"diversity", "popularity_penalty", "depth"})
