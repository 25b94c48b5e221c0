"""The path from landing files to recommendations as runs in order: for `landbridge run` and the schedules.

Each Dagster run costs seconds of its own, so there are as few as partitions allow: catalogues, events with
all dbt models, texts, snapshot, and one for each target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from orchestration.config import Config, ConfigError
from orchestration.generation import writes
from orchestration.modalities import domains_with_modalities
from orchestration.partitions import AS_OF, WINDOWS
from orchestration.reviews import reviewed_domains
from orchestration.runs import materialise, multi_key

SERVING = ("recommendation_lists", "recommendations")
MODELS = ("group:staging", "group:intermediate", "group:marts")
TRAINING = ("bridge", "champion_lists", "evaluation", "transferability_check", "model_version")


@dataclass(frozen=True)
class Stage:
    """Assets, and the runs that make them, each from a first to a last partition key."""

    title: str
    assets: Sequence[str]
    spans: Sequence[tuple[str, str | None]]

    @property
    def selection(self) -> dg.AssetSelection:
        """The stage's assets and groups; their checks come along."""
        groups = [name.removeprefix("group:") for name in self.assets if name.startswith("group:")]
        keys = [dg.AssetKey(name.split("/")) for name in self.assets if not name.startswith("group:")]
        selection: dg.AssetSelection = dg.AssetSelection.assets(*keys)
        return selection | dg.AssetSelection.groups(*groups) if groups else selection


def windows_of(config: Config) -> list[str]:
    """The keys of the windows that have ended; ConfigError where none has."""
    keys = WINDOWS.get_partition_keys()
    if not keys:
        raise ConfigError(config.path, ["calendar: no window has ended yet; expected an earlier start"])
    return list(keys)


def newest_as_of(config: Config) -> str:
    """The newest as-of key."""
    windows_of(config)
    return AS_OF.get_partition_keys()[-1]


def preparing(config: Config, as_of: str, first_window: str, last_window: str) -> list[Stage]:
    """Landing files to the snapshot of `as_of`, for the windows from first to last."""
    first, last = config.domain_names[0], config.domain_names[-1]
    windows = multi_key(domain=first, window=first_window), multi_key(domain=last, window=last_window)
    landing = ["demo_world"] if config.demo else []
    return [
        Stage("catalogues", [*landing, "raw/items", "raw/users"], [(first, last)]),
        Stage("events", ["raw/events", *MODELS], [windows]),
        Stage("text", _text_assets(config), [(first, last)]),
        Stage("text index", ["item_index"], [(name, None) for name in config.domain_names]),
        Stage("snapshot", _snapshot_assets(config), [(as_of, None)]),
    ]


def _text_assets(config: Config) -> list[str]:
    """What the configuration asks for of the assets between catalogues and snapshot."""
    optional = {
        "generated_texts": writes(config, "items"),
        "review_texts": bool(reviewed_domains(config)),
        "review_embeddings": bool(reviewed_domains(config)),
        "item_modalities": bool(domains_with_modalities(config)),
    }
    return ["item_texts", "item_embeddings", "domain_map", *(name for name, on in optional.items() if on)]


def _snapshot_assets(config: Config) -> list[str]:
    """The snapshot, and what is made of it once for all targets."""
    optional = {
        "generated_summaries": writes(config, "users"),
        "adapted_encoder": config.encoder.adaptation is not None,
    }
    return ["training_snapshot", "user_profiles", *(name for name, on in optional.items() if on)]


def models(first: tuple[str, str], last: tuple[str, str]) -> Stage:
    """All dbt models for the rectangle between two (domain, window) corners, without loading a file."""
    corners = [multi_key(domain=domain, window=window) for domain, window in (first, last)]
    return Stage("models", MODELS, [(corners[0], corners[1])])


def training(config: Config, as_of: str) -> list[Stage]:
    """From the snapshot of `as_of` to a registered version of every target."""
    keys = [(multi_key(domain=name, as_of=as_of), None) for name in config.domain_names]
    factors = Stage("factors", ["domain_factors"], keys)
    return [factors, _transferability(config, as_of), *_by_target(config, as_of, TRAINING)]


def serving(config: Config, as_of: str) -> list[Stage]:
    """The champions' lists for the users that the snapshot of `as_of` knows; what became of earlier lists."""
    return [*_by_target(config, as_of, SERVING), observing(config)]


def whole_path(config: Config, as_of: str) -> list[Stage]:
    """Everything, each target trained and served in one run."""
    windows = windows_of(config)
    factors, transferability, *_ = training(config, as_of)
    prepared = preparing(config, as_of, windows[0], windows[-1])
    trained = _by_target(config, as_of, (*TRAINING, *SERVING))
    return [*prepared, factors, transferability, *trained, observing(config)]


def measuring(config: Config, as_of: str, targets: Sequence[str]) -> list[Stage]:
    """From the tables to the evaluation of some targets as of a day, without registering a version."""
    snapshot = Stage(f"{as_of} data", _snapshot_assets(config), [(as_of, None)])
    keys = [(name, multi_key(target=name, as_of=as_of)) for name in targets]
    before = Stage(f"{as_of} sources", ["transferability"], [(key, None) for _, key in keys])
    trained = [Stage(f"{as_of} {name}", ["bridge", "evaluation"], [(key, None)]) for name, key in keys]
    return [snapshot, before, *trained]


def backtested(targets: Sequence[str]) -> Stage:
    """The pages of what was measured over time."""
    return Stage("backtest", ["backtest"], [(name, None) for name in targets])


def observing(config: Config) -> Stage:
    """What users took of the lists they were served so far."""
    return Stage("observed", ["observed"], [(config.domain_names[0], config.domain_names[-1])])


def _transferability(config: Config, as_of: str) -> Stage:
    """All targets in one run, before the first of them trains: each card then shows the whole matrix."""
    ends = config.domain_names[0], config.domain_names[-1]
    first, last = (multi_key(target=name, as_of=as_of) for name in ends)
    return Stage("transferability", ["transferability"], [(first, last)])


def _by_target(config: Config, as_of: str, assets: Sequence[str]) -> list[Stage]:
    return [
        Stage(f"→ {target}", assets, [(multi_key(target=target, as_of=as_of), None)])
        for target in config.domain_names
    ]


def run_stage(
    stage: Stage, defs: dg.Definitions, instance: dg.DagsterInstance, tags: dict[str, str] | None = None
) -> list[dg.ExecuteInProcessResult]:
    """Run a stage in this process; ends after the first run that fails."""
    results = []
    for first, last in stage.spans:
        results.append(
            materialise(
                defs, stage.selection, instance, first=first, last=last, tags=tags, raise_on_error=False
            )
        )
        if not results[-1].success:
            break
    return results
