"""Profiles in words from a snapshot and its documents on disk, and their place on the review card."""

from __future__ import annotations

from collections import Counter

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transfer_case import AS_OF, TARGET, write_world

from orchestration.config import Home
from orchestration.defs.profiles import user_profiles
from orchestration.documents import documents_path
from orchestration.partitions import CONFIG
from orchestration.profiles import profiles_path, read_profiles, sample_for_card

SOURCES = [name for name in CONFIG.domain_names if name != TARGET]
ITEMS = 60


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """The model stages' world; items of the first half are about tea, those of the second about iron pans."""
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    write_world(Home(), users=40, items=ITEMS)
    for domain in CONFIG.domain_names:
        write_documents(domain, {i: "iron pan" if i >= ITEMS // 2 else "green tea" for i in range(ITEMS - 2)})
    return Home()


def write_documents(domain: str, texts: dict[int, str]) -> None:
    """The documents of a domain; the last item has none, the one before it is not there at all."""
    ids = [f"{domain}-{item:03d}" for item in [*texts, ITEMS - 1]]
    documents = [f"{text} no{item}" for item, text in texts.items()] + [None]
    path = documents_path(Home(), domain)
    path.parent.mkdir(exist_ok=True)
    strings = [pa.array(column, pa.string()) for column in (ids, documents, documents, documents)]
    pq.write_table(pa.table(strings, names=["item_id", "title", "document", "text_hash"]), path)


def materialise() -> dict[str, object]:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([user_profiles], partition_key=AS_OF, instance=instance)
    (event,) = result.asset_materializations_for_node("user_profiles")
    return {name: value.value for name, value in event.metadata.items()}


def test_every_user_has_a_row_in_every_domain_with_words_of_its_camp(home):
    told = materialise()
    table = pq.read_table(profiles_path(home, AS_OF))
    assert table.column_names == ["user_id", "domain", "keywords", "text"]
    assert told["dagster/row_count"] == len(table) == 40 * len(CONFIG.domain_names)
    assert told[f"profiles/{TARGET}"] == 40
    assert told[f"users without words/{TARGET}"] == 0
    first = Counter()
    for row in table.to_pylist():
        assert 1 <= len(row["keywords"]) <= 10
        assert row["text"] == ", ".join(row["keywords"])
        camp = {"iron", "pan"} if int(row["user_id"][1:]) % 2 else {"green", "tea"}
        first[bool(camp & set(row["keywords"][:2]))] += 1
    assert first[True] > 10 * first[False]
    assert "| u0000&emsp; |" in str(told["sample"])


def test_the_same_snapshot_has_the_same_profiles(home):
    materialise()
    first = profiles_path(home, AS_OF).read_bytes()
    materialise()
    assert profiles_path(home, AS_OF).read_bytes() == first


def test_an_item_that_left_the_documents_is_read_by_its_title(home):
    write_documents(TARGET, {})
    told = materialise()
    words = {
        word
        for row in read_profiles(home, AS_OF).to_pylist()
        if row["domain"] == TARGET
        for word in row["keywords"]
    }
    assert words == {TARGET}  # the world's titles are "<domain> <number>"
    assert told[f"profiles/{TARGET}"] == 40


def test_users_of_items_without_text_are_counted(home):
    items = [f"{TARGET}-{item:03d}" for item in range(ITEMS)]
    silent = pa.array([None] * ITEMS, pa.string())
    table = pa.table(
        [pa.array(items), silent, silent, silent], names=["item_id", "title", "document", "text_hash"]
    )
    pq.write_table(table, documents_path(home, TARGET))
    told = materialise()
    assert (told[f"profiles/{TARGET}"], told[f"users without words/{TARGET}"]) == (0, 40)
    assert TARGET not in read_profiles(home, AS_OF)["domain"].to_pylist()


def test_without_documents_or_profiles_the_error_says_what_to_materialise(home):
    with pytest.raises(FileNotFoundError, match="materialise user_profiles"):
        read_profiles(home, AS_OF)
    documents_path(home, TARGET).unlink()
    with pytest.raises(FileNotFoundError, match="materialise item_texts"):
        materialise()


def test_the_card_shows_two_users_of_each_cohort_in_all_domains(home):
    from orchestration.defs.snapshot import snapshot_of

    snapshot = snapshot_of(AS_OF)
    assert sample_for_card(snapshot, TARGET, SOURCES, home, AS_OF) == []
    log = snapshot.interactions[TARGET]
    # Some forget the target, some nearly.
    kept = (log.users % 4 > 1) | ((log.users % 4 == 1) & (log.items % 20 == 0))
    snapshot = snapshot.with_interactions(**{TARGET: log.select(kept)})
    materialise()
    shown = sample_for_card(snapshot, TARGET, SOURCES, home, AS_OF)
    assert shown == sample_for_card(snapshot, TARGET, SOURCES, home, AS_OF)
    users = {row.user: row.cohort for row in shown}
    assert Counter(users.values()) == {"cold": 2, "sparse": 2, "warm": 2}
    assert {row.domain for row in shown} == {TARGET, *SOURCES}
    assert all(1 <= len(row.keywords) <= 6 for row in shown)
    assert sample_for_card(snapshot, TARGET, [], home, AS_OF)[0].domain == TARGET
