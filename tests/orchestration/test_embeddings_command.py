"""`landbridge embeddings`: what it lists, what it drops, and what it leaves alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from log_world import World

from ml.text.encoding.store import EmbeddingStore
from orchestration.cli import main
from orchestration.config import Home
from orchestration.documents import documents_path
from orchestration.features import text_encoder

BOOKS, FILMS = ["a novel", "a poem"], ["a film"]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """monkeypatch puts back what a command sets in the environment."""
    for name in ("LANDBRIDGE_CONFIG", "DAGSTER_HOME", "HF_HUB_OFFLINE", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_documents(home: Home, domain: str, texts: list[str]) -> None:
    path = documents_path(home, domain)
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [str(n) for n in range(len(texts))]
    columns = {"item_id": ids, "title": texts, "document": texts, "text_hash": [hash_of(t) for t in texts]}
    pq.write_table(pa.table(columns), path)


@pytest.fixture
def home(world: World) -> Home:
    """Three texts in catalogues, one only in a snapshot, one that nothing names; and an old encoder."""
    home, encoder = Home(), text_encoder(world.config)
    write_documents(home, "books", BOOKS)
    write_documents(home, "films", FILMS)
    snapshot = home.snapshots / "2026-01-02" / "items.parquet"
    snapshot.parent.mkdir(parents=True)
    pq.write_table(pa.table({"text_hash": [hash_of("an old novel"), None]}), snapshot)
    for key in (encoder.key, "old-encoder"):
        texts = [*BOOKS, *FILMS, "an old novel", "gone"]
        vectors = np.ones((len(texts), encoder.dimension), np.float32)
        EmbeddingStore(home.embeddings, key, encoder.dimension).add([hash_of(t) for t in texts], vectors)
    return home


def embeddings(world: World, *arguments: str) -> Result:
    place = ["--config", str(world.folder / "landbridge.yaml"), "--home", str(world.folder / "home")]
    return CliRunner().invoke(main, ["embeddings", arguments[0], *place, *arguments[1:]])


def hashes_of(folder: Path) -> set[str]:
    return {h for path in folder.glob("*.parquet") for h in pq.read_table(path)["text_hash"].to_pylist()}


def test_list_shows_every_encoder_and_which_is_in_use(world: World, home: Home) -> None:
    result = embeddings(world, "list")
    assert result.exit_code == 0, result.output
    rows = [row.split() for row in result.output.splitlines() if "│" in row]
    found = {row[1]: (row[3], row[7]) for row in rows}
    assert found == {text_encoder(world.config).key: ("5", "yes"), "old-encoder": ("5", "no")}


def test_prune_drops_what_nothing_names_and_only_when_told_to(world: World, home: Home) -> None:
    mine, other = home.embeddings / text_encoder(world.config).key, home.embeddings / "old-encoder"
    everything = hashes_of(mine)
    planned = embeddings(world, "prune")
    assert planned.exit_code == 0, planned.output
    assert "1 vectors" in planned.output
    assert "nothing was changed: give --yes" in planned.output
    assert hashes_of(mine) == everything
    done = embeddings(world, "prune", "--yes")
    assert "freed 0.0 MB" in done.output
    assert hashes_of(mine) == everything - {hash_of("gone")}
    assert hashes_of(other) == everything
    assert "nothing to drop" in embeddings(world, "prune", "--yes").output


def test_prune_drops_whole_encoders_when_asked(world: World, home: Home) -> None:
    planned = embeddings(world, "prune", "--other-encoders")
    assert "old-encoder: the whole encoder" in planned.output
    assert (home.embeddings / "old-encoder").exists()
    embeddings(world, "prune", "--other-encoders", "--yes")
    assert [path.name for path in home.embeddings.iterdir()] == [text_encoder(world.config).key]


def test_prune_refuses_while_a_domain_has_no_documents(world: World, home: Home) -> None:
    documents_path(home, "films").unlink()
    result = embeddings(world, "prune", "--yes")
    assert result.exit_code == 1
    assert "materialise item_texts of films first" in result.output
    assert len(hashes_of(home.embeddings / text_encoder(world.config).key)) == 5


def test_an_empty_home_lists_nothing(world: World) -> None:
    _ = world.config
    assert embeddings(world, "list").exit_code == 0
