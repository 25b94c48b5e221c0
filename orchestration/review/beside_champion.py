"""What a card says of a version beside the champion: what changed, and users with both lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestration.pages import Section
from orchestration.review.champion import FOLDER, LISTS_FILE, Compared
from orchestration.review.changes import changes, facts_of
from orchestration.review.cohort_tables import CHAMPION
from orchestration.review.observed import observed_section
from orchestration.review.sampled_users import (
    Measured,
    Side,
    cut_of,
    new_item_sections,
    sampled_sections,
)
from orchestration.reviews import with_review_vectors

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from ml.bridge import Recommender
    from ml.data import Snapshot
    from orchestration.resources.evidence import Evidence
    from orchestration.resources.registry import Registry

# Whose lists stand beside those of what is served where there is no champion to compare with.
_OTHERWISE = {"bridge": "twin", "twin": "popularity", "popularity": "twin"}


def beside_champion(evidence: Evidence, registry: Registry, snapshot: Snapshot, seed: int) -> Evidence:
    """The evidence, its card holding what only the registry and the data together can say.

    A version that is the champion already is shown beside its twin.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ml.bridge import load

    card, training, mine = evidence.card, evidence.training, load(evidence.model)
    encoder = mine.settings.get("review_encoder")
    if encoder:
        snapshot = with_review_vectors(snapshot, encoder, registry.home)
    champion = registry.champion(card.target)
    if champion and champion.tags.get("content_digest") == evidence.digests["content"]:
        champion = None
    lists = pq.read_table(training / "lists.parquet")
    other = _OTHERWISE[card.serve]
    side = Side(other, other, load(training / other))
    if champion and _compared(evidence, champion):
        lists = pa.concat_tables([lists, pq.read_table(training / FOLDER / LISTS_FILE)])
        side = Side(f"champion (version {champion.version})", CHAMPION, _model(registry, champion, encoder))
    cut = cut_of(evidence.selection)
    measured = Measured(snapshot, card.target, tuple(card.sources), lists, cut, seed)
    served = Side(f"this version ({card.serve})", card.serve, mine)
    observed = observed_section(registry.home, card.target)
    card = replace(
        card,
        changed=_changed(evidence, registry, champion) if champion else (),
        users=sampled_sections(measured, served, side),
        new_items=new_item_sections(measured, served),
        observed=[observed] if observed else [],
    )
    return replace(evidence, card=card)


def _compared(evidence: Evidence, champion: ModelVersion) -> bool:
    """Whether the measured lists hold those of this champion."""
    found = Compared.read(evidence.training / FOLDER)
    return found is not None and found.state == "compared" and found.version == int(champion.version)


def _model(registry: Registry, version: ModelVersion, encoder: str | None) -> Recommender | None:
    """The registered model, for its reasons; None where it cannot be read or reads reviews by another encoder
    than this: lists say enough alone.
    """
    from mlflow.exceptions import MlflowException

    try:
        model = registry.load(version)
    except (MlflowException, OSError, ValueError):
        return None
    return model if model.settings.get("review_encoder") in (None, encoder) else None


def _changed(evidence: Evidence, registry: Registry, champion: ModelVersion) -> Sequence[Section]:
    title = f"What changed from version {champion.version}"
    try:
        before = facts_of(registry, champion)
    except ValueError as error:
        return [Section(title, (str(error),))]
    if before is None:
        return [Section(title, ("not known: the champion was registered before versions kept their facts",))]
    return changes(replace(before, name=f"version {champion.version} (champion)"), evidence.facts)
