"""What changed between two model versions: data, configuration, encoder, code, recipe and figures.

Every version leaves its facts beside its evidence in MLflow, so that two of them can be laid side by side
without the data, the models or the configuration they came from.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.pages import Section, Table

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from orchestration.config import Config
    from orchestration.resources.registry import Registry

FACTS_FILE = "facts.json"
DIGESTS = {"data": "snapshot", "model": "weights", "code": "code of ml/"}
_SHOWN = 12  # of a digest: enough to tell two apart
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class DomainFacts:
    """What a snapshot holds of one domain; first and last interaction as dates, None where there are none."""

    interactions: int
    users: int
    items: int
    items_without_text: int
    first: str | None
    last: str | None


@dataclass(frozen=True)
class VersionFacts:
    """What a version was made of and what it was worth.

    digests: SHA-256 of its data, model, code, figures, and content (what the version's tag says).
    configuration: flat keys of landbridge.yaml. recipe: cohort -> scorer -> weight of what is served. recall:
    cohort -> mean, low, high, users of what is served. name: how a reader calls the version; not kept.
    """

    target: str
    as_of: str
    served: str
    k: int
    encoder: str
    git_sha: str
    sources: Sequence[str] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    domains: Mapping[str, DomainFacts] = field(default_factory=dict)
    configuration: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    recall: Mapping[str, Sequence[float]] = field(default_factory=dict)
    name: str = field(default="this version", compare=False)

    def to_json(self) -> str:
        """Everything but the name, which a version gets later."""
        return json.dumps({k: v for k, v in asdict(self).items() if k != "name"}, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, name: str = "this version") -> VersionFacts:
        """Undo `to_json`. ValueError says what is wrong with a file that holds something else."""
        try:
            found = json.loads(text)
            domains = {d: DomainFacts(**facts) for d, facts in found.get("domains", {}).items()}
            known = {f.name for f in fields(cls)} - {"name", "domains"}
            return cls(**{k: v for k, v in found.items() if k in known}, domains=domains, name=name)
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"no facts of a version in {FACTS_FILE}: {error}; register it again") from error


def facts_of(registry: Registry, version: ModelVersion) -> VersionFacts | None:
    """The facts a version was registered with, None where it has none: it is older than they are, or its run
    was deleted. ValueError where the file was changed into something else.
    """
    from mlflow.exceptions import MlflowException

    if not version.run_id:
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = registry.client.download_artifacts(version.run_id, FACTS_FILE, folder)
            text = Path(path).read_text(encoding="utf-8")
        except (MlflowException, OSError):
            return None
    return VersionFacts.from_json(text, f"version {version.version}")


def configuration_of(config: Config) -> dict[str, str]:
    """The keys that a model can follow from, flat. How a version is promoted is none of them, and the
    generator's endpoint may hold a password.
    """
    from orchestration.resources.evidence import flatten

    left_out: dict[str, Any] = {"path": True, "demo": True, "promotion": True, "generator": {"endpoint"}}
    return flatten(config.model_dump(mode="json", exclude=left_out))


def changes(before: VersionFacts, after: VersionFacts) -> list[Section]:
    """What changed, the shortest answer first; sections without a change are left out."""
    same, unknown, rows = [], [], []
    for name, old, new in _plain_facts(before, after):
        if old == new == _UNKNOWN:
            unknown.append(name)
        elif old == new:
            same.append(name)
        else:
            rows.append([name, old, new])
    parts = [_data(before, after), _configuration(before, after), _recipe(before, after)]
    same += [what for what, part in zip(("data", "configuration", "recipe"), parts, strict=True) if not part]
    lines = [f"the same in both: {', '.join(same)}"] if same else []
    lines += [f"not known of either: {', '.join(unknown)}"] if unknown else []
    table = Table(["", before.name, after.name], rows) if rows else None
    first = Section(f"What changed from {before.name} to {after.name}", lines, table)
    return [first, *filter(None, parts), *_figures(before, after)]


def _plain_facts(before: VersionFacts, after: VersionFacts) -> Iterable[tuple[str, str, str]]:
    def each(facts: VersionFacts) -> dict[str, str]:
        return {
            "as of": facts.as_of,
            "served": facts.served,
            "list length": str(facts.k),
            "sources": ", ".join(facts.sources) or "none",
            "encoder": facts.encoder,
            "git": facts.git_sha[:_SHOWN],
            **{words: facts.digests.get(key, _UNKNOWN)[:_SHOWN] for key, words in DIGESTS.items()},
        }

    new = each(after)
    return ((name, old, new[name]) for name, old in each(before).items())


def _data(before: VersionFacts, after: VersionFacts) -> Section | None:
    names = list(dict.fromkeys([*after.domains, *before.domains]))
    rows = []
    for name in names:
        old, new = before.domains.get(name), after.domains.get(name)
        if old != new:
            rows.append([name, *_counts(old, new), f"{_span(old)} → {_span(new)}"])
    header = ["domain", "interactions", "users", "items", "items without text", "data window"]
    return Section("Data that changed", (), Table(header, rows)) if rows else None


def _counts(old: DomainFacts | None, new: DomainFacts | None) -> list[str]:
    names = ("interactions", "users", "items", "items_without_text")
    pairs = [(getattr(old, name, 0), getattr(new, name, 0)) for name in names]
    return [f"{b:,} ({b - a:+,})" if a != b else f"{b:,}" for a, b in pairs]


def _span(facts: DomainFacts | None) -> str:
    return f"{facts.first} to {facts.last}" if facts and facts.first else "nothing"


def _configuration(before: VersionFacts, after: VersionFacts) -> Section | None:
    rows = _differences(before.configuration, after.configuration)
    table = Table(["key", before.name, after.name], rows)
    differ = "1 key differs" if len(rows) == 1 else f"{len(rows)} keys differ"
    return Section(f"Configuration: {differ}", (), table) if rows else None


def _recipe(before: VersionFacts, after: VersionFacts) -> Section | None:
    rows = _differences(*map(_blends, (before, after)))
    table = Table(["cohort", before.name, after.name], rows)
    return Section("Recipe of what is served", (), table) if rows else None


def _blends(facts: VersionFacts) -> dict[str, str]:
    """cohort -> its blend in words; sparse users without one get that of warm users."""
    found = {cohort: blend_words(blend) for cohort, blend in facts.recipe.items()}
    if "warm" in found:
        found.setdefault("sparse", "as warm")
    return found


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[list[str]]:
    names = dict.fromkeys([*new, *old])
    return [[n, old.get(n, "–"), new.get(n, "–")] for n in names if old.get(n) != new.get(n)]


def blend_words(weights: Mapping[str, float]) -> str:
    """A blend's scorers, the heaviest first: `60% ease:r500, 40% popularity`."""
    ordered = sorted(weights.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{weight:.0%} {name}" for name, weight in ordered)


def _figures(before: VersionFacts, after: VersionFacts) -> list[Section]:
    """Both recalls as each version was measured; or nothing where neither says any."""
    names = dict.fromkeys([*after.recall, *before.recall])
    rows = [[c, *(_recall(facts.recall.get(c)) for facts in (before, after))] for c in names]
    line = "each on the test users of its own as-of: not paired, so a difference is no lift"
    table = Table(["cohort", before.name, after.name], rows)
    return [Section(f"Recall@{after.k} of what is served", (line,), table)] if rows else []


def _recall(figures: Sequence[float] | None) -> str:
    if figures is None:
        return "–"
    mean, low, high, users = figures
    return f"{mean:.4f} [{low:.4f}, {high:.4f}], {users:,.0f} users"
