"""From landing files to a bridge on the Chinese world, with an encoder that reads it and one that does not.

The assets run in processes of their own: the configuration is read when the definitions are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from chinese_world import catalogue, interactions, tiny_chinese_bert, write_files

import ml.bridge

ROOT = Path(__file__).parents[2]
AS_OF = "2026-03-01"
pytestmark = pytest.mark.slow

_RUN = """
import json, sys
import dagster as dg
from orchestration.definitions import defs
from orchestration.partitions import CONFIG
from orchestration.runs import multi_key
from orchestration.stages import Stage, preparing, run_stage, windows_of

as_of, only = sys.argv[1], sys.argv[2:]
windows = windows_of(CONFIG)
kitchen = multi_key(target="kitchen", as_of=as_of)
path = [
    *preparing(CONFIG, as_of, windows[0], windows[-1]),
    Stage("profiles", ["user_profiles"], [(as_of, None)]),
    Stage("kitchen", ["bridge", "evaluation", "model_version"], [(kitchen, None)]),
]
told = {"checks": {}, "metadata": {}}
with dg.DagsterInstance.ephemeral() as instance:
    for stage in path:
        for result in run_stage(stage, defs, instance) if not only or stage.title in only else ():
            assert result.success, stage.title
            told["checks"] |= {
                c.check_name: [c.passed, c.description] for c in result.get_asset_check_evaluations()
            }
            for event in result.filter_events(lambda event: event.is_step_materialization):
                made = event.step_materialization_data.materialization
                key = f"{made.asset_key.to_user_string()} {made.partition}"
                told["metadata"][key] = {
                    name: value.value
                    for name, value in made.metadata.items()
                    if isinstance(value.value, (str, int, float))
                }
print(json.dumps(told))
"""


@dataclass(frozen=True)
class World:
    """A folder with configurations and a home; checks and metadata of the run that made it."""

    folder: Path
    told: dict = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def run(self, config: str, *stages: str) -> dict:
        """Checks by name and metadata by "asset partition" of all stages or the named ones."""
        paths = {"LANDBRIDGE_CONFIG": str(self.folder / config), "LANDBRIDGE_HOME": str(self.home)}
        done = subprocess.run(
            [sys.executable, "-c", _RUN, AS_OF, *stages],
            cwd=self.folder, env={**os.environ, **paths, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("chinese")
    document = {**write_files(folder), "evaluation": {"cold_user_fraction": 0.4}}
    encoder = {"model": str(tiny_chinese_bert(folder / "encoder")), "max_tokens": 64, "precision": "fp32"}
    english = {name: {**domain, "language": "en"} for name, domain in document["domains"].items()}
    for name, changes in (("chinese", {"encoder": encoder}), ("english", {"domains": english})):
        text = yaml.safe_dump({**document, **changes}, allow_unicode=True)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    made = World(folder)
    made.told.update(made.run("chinese.yaml"))
    return made


def test_every_title_is_cleaned_and_every_text_embedded(world):
    for domain in ("drinks", "kitchen"):
        table = pq.read_table(world.home / "documents" / f"{domain}.parquet")
        titles = dict(zip(table["item_id"].to_pylist(), table["title"].to_pylist(), strict=True))
        assert titles == {item.item_id: item.title for item in catalogue() if item.domain == domain}
        assert world.told["metadata"][f"item_embeddings {domain}"]["texts"] == 120
    assert world.told["checks"]["encoder_reads_language"][0]
    assert world.told["checks"]["language_matches"][0]


def test_the_bridge_recommends_in_the_other_shop_what_a_person_likes(world):
    bridge = ml.bridge.load(world.home / "models" / AS_OF / "kitchen" / "bridge")
    known = {user for domain, user, *_ in interactions() if domain == "kitchen"}
    strangers = sorted({user for domain, user, *_ in interactions() if domain == "drinks"} - known)
    lists = bridge.recommend(strangers, k=10).to_pylist()
    liked = ["tea" if int(row["user_id"][-3:]) % 2 else "coffee" for row in lists]
    right = [f"-{camp}-" in row["item_id"] for row, camp in zip(lists, liked, strict=True)]
    assert len(strangers) == 120
    assert sum(right) / len(right) > 0.8


def test_people_are_told_in_chinese_words_also_on_the_card(world):
    rows = pq.read_table(world.home / "profiles" / f"{AS_OF}.parquet").to_pylist()
    assert {row["domain"] for row in rows} == {"drinks", "kitchen"}
    assert all("、" in row["text"] for row in rows)
    cards = [path.read_text() for path in (world.home / "mlflow").rglob("review_card.html")]
    assert cards
    assert all("Sampled users in words" in card for card in cards)
    words = [(row["user_id"], ", ".join(row["keywords"][:6])) for row in rows]
    assert all(any(user in card and said in card for user, said in words) for card in cards)


def test_the_english_encoder_is_refused_and_the_wrong_language_named(world):
    told = world.run("english.yaml", "text")
    passed, advice = told["checks"]["encoder_reads_language"]
    assert not passed
    assert all(name in advice for name in ("drinks", "kitchen"))
    assert "encoder.model" in advice
    assert {told["metadata"][f"item_embeddings {domain}"]["texts"] for domain in ("drinks", "kitchen")} == {0}
    passed, advice = told["checks"]["language_matches"]
    assert not passed
    assert "domains.drinks.language says en. Set it to zh" in advice
