"""Today's champion beside a later version: its recipe on the later version's splits, if it can be followed.

`champion.json` says which version was compared and how, or why none was; `evaluation` keeps a copy beside
its report, so that a verdict always knows whom the report speaks of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow.entities.model_registry import ModelVersion

    from ml.data import Snapshot
    from ml.metrics.gate import Against
    from orchestration.resources.registry import Registry

FOLDER, FACTS_FILE, LISTS_FILE = "champion", "champion.json", "lists.parquet"
NOBODY = "There is no champion yet that it would have to be better than."
AGAIN = "evaluate again: materialise champion_lists, evaluation and model_version of this partition"


@dataclass(frozen=True)
class Compared:
    """Who was champion when lists were made, 0 where nobody was; words: how it was compared, or why not."""

    state: Literal["none", "compared", "not_comparable"]
    words: str
    version: int = 0
    as_of: str = ""
    content_digest: str = ""

    def write(self, folder: Path) -> None:
        """As `champion.json` in a folder."""
        (folder / FACTS_FILE).write_text(json.dumps(asdict(self), indent=2))

    @classmethod
    def read(cls, folder: Path) -> Compared | None:
        """What `write` wrote; None where nothing did."""
        path = folder / FACTS_FILE
        return cls(**json.loads(path.read_text())) if path.is_file() else None


def compare(
    champion: ModelVersion | None, training: Path, as_of: str, recipe_of: Callable[[], Mapping[str, Any]]
) -> tuple[pa.Table | None, Compared]:
    """The champion's lists for a training's test users, None where there are none, and what came of it.

    training: folder of `ml.bridge.Training.save`, of the as-of. recipe_of: the settings of the champion's
    recommender.
    """
    from ml.bridge.recipe import NotComparableError

    if champion is None:
        return None, Compared("none", NOBODY)
    name = f"The champion is version {champion.version}, as of {champion.tags['as_of']}"
    who = int(champion.version), champion.tags["as_of"], champion.tags["content_digest"]
    if champion.tags["as_of"] > as_of:
        why = f"its recipe was chosen on data after {as_of}"
        return None, Compared("not_comparable", f"{name}, and not compared: {why}.", *who)
    try:
        lists, how = _followed(recipe_of(), champion.tags["served"], training, as_of)
    except NotComparableError as error:
        return None, Compared("not_comparable", f"{name}, and not compared: {error}.", *who)
    return lists, Compared("compared", f"{name}: {how}.", *who)


def _followed(settings: Mapping[str, Any], served: str, training: Path, as_of: str) -> tuple[pa.Table, str]:
    import pyarrow.parquet as pq

    from ml.bridge.recipe import NotComparableError, Recipe, follow

    if not {"cohorts", "sources", "train_settings"} <= settings.keys():
        raise NotComparableError("it was registered by a release that did not keep its recipe")
    selection = json.loads((training / "selection.json").read_text())
    lists = pq.read_table(training / LISTS_FILE)
    return follow(Recipe.of(settings, served), lambda: _snapshot(as_of), selection, lists)


def _snapshot(as_of: str) -> Snapshot:
    from orchestration.config import Home
    from orchestration.features import embedded_snapshot
    from orchestration.partitions import CONFIG

    return embedded_snapshot(as_of, CONFIG, Home())


def settings_of(registry: Registry, version: ModelVersion) -> dict[str, Any]:
    """The settings in a version's model, without loading its weights."""
    return json.loads((registry.model_folder(version) / "model.json").read_text())["settings"]


def against(evaluation: Path, champion: ModelVersion | None) -> Against:
    """What part today's champion has in the report of an evaluation's folder."""
    from ml.metrics.gate import Against

    found = Compared.read(evaluation)
    if found is None and champion is None:
        return Against("none", NOBODY)
    if found is None:
        return Against("changed", f"The report knows of no champion; {AGAIN}.")
    now = (int(champion.version), champion.tags["content_digest"]) if champion else (0, "")
    if (found.version, found.content_digest) != now:
        named = f"version {now[0]} is" if champion else "nobody is"
        return Against("changed", f"Since the report was made, {named} champion; {AGAIN}.")
    return Against(found.state, found.words)
