"""Modalities from files to the models: what is written, what a snapshot carries, what the assets tell."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_world import World
from tiny_vision import picture, save_model

from ml.data import Catalogue
from orchestration.config import Config, Home, parse_config
from orchestration.modalities import land_modality, modalities_of, modality_path

BOOKS = pa.array(["b1", "b2", "b3", "b4", "b5"])
SCRIPT = """
import json, dagster as dg
from orchestration.defs.modalities import item_modalities
from orchestration.defs.texts import item_texts
from orchestration.defs.transfer import bridge
with dg.DagsterInstance.ephemeral() as instance:
    tags = {"dagster/asset_partition_range_start": "books", "dagster/asset_partition_range_end": "films"}
    done = dg.materialize([item_modalities, item_texts.to_source_assets()[0]], tags=tags, instance=instance,
                          selection=[item_modalities])
(check,) = done.get_asset_check_evaluations()
events = done.asset_materializations_for_node("item_modalities")
found = {e.partition: {k: v.value for k, v in e.metadata.items() if k != "left out"} for e in events}
upstream = [key.to_user_string() for key in bridge.asset_deps[bridge.key]]
print("RESULT" + json.dumps([check.passed, check.severity.value, check.description, found, upstream]))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return save_model("clip", tmp_path_factory.mktemp("clip"))


def vectors(path: str) -> dict:
    return {"path": path, "format": "csv", "columns": {"item": "id", "vector": "numbers"}}


def images(path: str, model: str) -> dict:
    return {"path": path, "format": "csv", "columns": {"item": "id", "image": "file"}, "model": model}


def config_of(world: World, **modalities: dict) -> Config:
    world.document["domains"]["books"]["modalities"] = modalities
    return parse_config(world.document, world.folder / "landbridge.yaml")


def catalogue(*ids: str) -> Catalogue:
    titles = np.array(ids, dtype=object)
    return Catalogue(np.array(ids), titles, titles)


def with_pictures(world: World) -> None:
    folder = world.folder / "pictures"
    folder.mkdir()
    for name, content in {
        "red.png": picture(1), "blue.jpg": picture(2, "JPEG"), "half.png": picture(3)[:300],
        "text.png": b"no",
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
    world.write(
        "pictures/list.csv",
        "id,file\nb1,red.png\nb2,blue.jpg\nb3,half.png\nb4,gone.png\nb5,\nstranger,red.png\nb1,text.png\n",
    )


def test_vectors_reach_the_catalogue_by_item(world):
    world.write("sound.csv", 'id,numbers\nb3,"[5, 6, 7]"\nb1,"[1, 2, 3]"\n')
    config, home = config_of(world, sound=vectors("sound.csv"), look=vectors("sound.csv")), Home()
    landed = land_modality(config, home, "books", "sound", BOOKS)
    assert (landed.rows, landed.kept, landed.dimension, landed.sound) == (2, 2, 3, True)
    # The catalogue of a snapshot may lack an item, and have one that the file does not know.
    found = modalities_of(config, home, "books", catalogue("b1", "b2", "b4"))
    assert list(found) == ["sound"]  # look was not landed yet
    assert found["sound"].dtype == np.float32
    assert found["sound"].tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 0]]
    assert modalities_of(config, home, "films", catalogue("f1")) == {}
    assert modalities_of(config, home, "a domain no longer configured", catalogue("f1")) == {}


def test_a_modality_whose_rows_are_gone_is_gone(world):
    world.write("sound.csv", 'id,numbers\nb1,"[1, 2, 3]"\n')
    config, home = config_of(world, sound=vectors("sound.csv")), Home()
    land_modality(config, home, "books", "sound", BOOKS)
    world.write("sound.csv", "id,numbers\n")
    landed = land_modality(config, home, "books", "sound", BOOKS)
    assert (landed.kept, landed.dimension, landed.sound) == (0, 0, False)
    assert modalities_of(config, home, "books", catalogue("b1")) == {}


def test_images_reach_the_catalogue_and_damage_is_listed(world, model):
    with_pictures(world)
    config, home, said = config_of(world, look=images("pictures/list.csv", model)), Home(), []
    landed = land_modality(config, home, "books", "look", BOOKS, said.append)
    assert (landed.rows, landed.kept, landed.dimension, landed.embedded) == (7, 2, 24, 2)
    assert said == ["books.look: 5 of 5 images"]  # a stranger's picture costs nothing
    reasons = {fault.reason.split(":")[0]: fault.examples for fault in landed.faults}
    assert reasons == {
        "broken image": ["pictures/list.csv:4 (b3)"],
        "item not in the catalogue": ["pictures/list.csv:7 (stranger)"],
        "no image": ["pictures/list.csv:6 (b5)"],
        "no image of a known format": ["pictures/list.csv:8 (b1)"],
        "no such file": ["pictures/list.csv:5 (b4)"],
    }
    assert not landed.sound
    matrix = modalities_of(config, home, "books", catalogue(*BOOKS.to_pylist()))["look"]
    assert matrix.any(axis=1).tolist() == [True, True, False, False, False]
    before = modality_path(home, "books", "look").read_bytes()
    assert land_modality(config, home, "books", "look", BOOKS).embedded == 0
    assert modality_path(home, "books", "look").read_bytes() == before


def test_an_item_without_an_image_is_no_fault(world, model):
    with_pictures(world)
    world.write("pictures/list.csv", "id,file\nb1,red.png\nb5,\n")
    config = config_of(world, look=images("pictures/list.csv", model))
    assert land_modality(config, Home(), "books", "look", BOOKS).sound


def test_a_torn_vector_file_keeps_what_was_landed_before(world):
    from orchestration.landing.sources import SourceError

    path = world.write("sound.csv", 'id,numbers\nb1,"[1, 2, 3]"\n')
    config, home = config_of(world, sound=vectors("sound.csv")), Home()
    land_modality(config, home, "books", "sound", BOOKS)
    path.unlink()
    with pytest.raises(SourceError, match=r"sound.csv: no such file"):
        land_modality(config, home, "books", "sound", BOOKS)
    assert modalities_of(config, home, "books", catalogue("b1"))["sound"].tolist() == [[1, 2, 3]]


@pytest.mark.slow
def test_the_asset_lands_every_domain_and_warns_of_what_it_left_out(world, model):
    with_pictures(world)
    world.write("sound.csv", 'id,numbers\nb1,"[1, 2, 3]"\nb2,"[1, 2, 4]"\nb3,"[1, 2]"\n')
    look = images("pictures/list.csv", model)
    world.document["domains"]["books"]["modalities"] = {"look": look, "sound": vectors("sound.csv")}
    assert world.config  # written
    for domain, ids in (("books", BOOKS), ("films", pa.array(["f1"]))):
        _documents(Home().root / "documents" / f"{domain}.parquet", ids)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=world.environment, capture_output=True, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "RESULT" in done.stdout, done.stderr[-3000:]
    passed, severity, told, found, upstream = json.loads(done.stdout.split("RESULT")[1])
    assert (passed, severity) == (False, "WARN")
    assert told.startswith("books.look, books.sound: rows were left out")
    assert found["films"] == {"modalities": "none"}
    assert found["books"]["modalities"] == "look, sound"
    assert (found["books"]["look/items"], found["books"]["look/coverage"]) == (2, 0.4)
    assert (found["books"]["sound/items"], found["books"]["sound/dimension"]) == (2, 3)
    assert "item_modalities" in upstream


def _documents(path: Path, ids: pa.Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = pa.array([f"text {i}" for i in ids.to_pylist()])
    pq.write_table(pa.table({"item_id": ids, "title": texts, "document": texts, "text_hash": texts}), path)
