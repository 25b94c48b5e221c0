"""The transferability matrix as assets: estimated for all targets in one run, checked after training."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import dagster as dg
import pytest
from transfer_case import AS_OF, TARGET, write_world

from orchestration.config import Home
from orchestration.defs.transferability import transferability, transferability_check
from orchestration.pages import markdown_table
from orchestration.partitions import CONFIG
from orchestration.runs import RANGE_END, RANGE_START, multi_key
from orchestration.transferability import (
    agreement,
    card_sections,
    fewer_sources,
    in_short,
    lift,
    matrix,
    read_transferability,
    transfer_table,
    transferability_path,
)

TARGETS = CONFIG.domain_names


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDBRIDGE_HOME", str(tmp_path_factory.mktemp("home")))
        write_world(Home(), users=600, items=40)
        yield Home()


def materialised(asset: dg.AssetsDefinition, **how) -> dg.ExecuteInProcessResult:
    before = {dep for deps in asset.asset_deps.values() for dep in deps}
    return dg.materialize(
        [asset, *(dg.AssetSpec(key) for key in before)], selection=[asset], raise_on_error=False, **how
    )


@pytest.fixture(scope="module")
def estimated(home):
    corners = {
        RANGE_START: multi_key(target=TARGETS[0], as_of=AS_OF),
        RANGE_END: multi_key(target=TARGETS[-1], as_of=AS_OF),
    }
    return materialised(transferability, tags=corners)


@pytest.fixture(scope="module")
def digest(home) -> str:
    from orchestration.defs.snapshot import snapshot_of

    return snapshot_of(AS_OF).digest


@pytest.fixture(scope="module")
def checked(home, estimated):
    return materialised(
        transferability_check, partition_key=dg.MultiPartitionKey({"target": TARGET, "as_of": AS_OF})
    )


def shown(result: dg.ExecuteInProcessResult, asset: dg.AssetsDefinition) -> dict:
    metadata = result.asset_materializations_for_node(asset.op.name)[-1].metadata
    return {name: value.value for name, value in metadata.items()}


def test_one_run_describes_every_target(home, estimated, digest):
    assert estimated.success
    columns = matrix(home, AS_OF, TARGETS, digest)
    assert [column.target for column in columns] == TARGETS
    for column in columns:
        assert set(column.ground) == set(CONFIG.sources(column.target))
        assert all(found.shared_users == 600 for found in column.ground.values())
        assert {c.source for c in column.estimated if c.low > 0 and c.cohort == "cold"}  # camps are planted
    metadata = shown(estimated, transferability)
    assert metadata["pairs"] == len(TARGETS) * (len(TARGETS) - 1) >= metadata["helpful_pairs"] > 0
    assert metadata["matrix"].startswith("![transferability](data:image/svg+xml;base64,")
    assert all(f"→ {target}" in metadata[f"to_{target}"] for target in TARGETS)


def test_after_training_test_users_confirm(home, checked, digest):
    assert checked.success
    column = read_transferability(home, AS_OF, TARGET, digest)
    assert {(c.source, c.cohort) for c in column.measured} <= {(c.source, c.cohort) for c in column.estimated}
    assert shown(checked, transferability_check)["agreement"] == agreement(column)
    right, total = agreement(column).split(" certain")[0].split(" of ")
    assert int(right) == int(total) > 0


def test_training_is_told_which_sources_to_try(home, estimated):
    from orchestration.defs.transferability import asked_of
    from orchestration.features import embedded_snapshot

    said = []
    protocol = asked_of(embedded_snapshot(AS_OF, CONFIG, home), TARGET, AS_OF)
    found = fewer_sources(home, AS_OF, TARGET, protocol, said.append)
    assert found
    assert not said
    elsewhere = replace(protocol, snapshot=replace(protocol.snapshot, digest="another"))
    assert fewer_sources(home, AS_OF, TARGET, elsewhere, said.append) == {}
    assert "not estimated on this snapshot" in said[0]
    # With another seed the users who were asked may be among those to measure.
    assert fewer_sources(home, AS_OF, TARGET, replace(protocol, seed=1), said.append) == {}
    assert "under another `evaluation`" in said[1]


def test_a_check_without_an_estimate_says_what_to_do(home, estimated, monkeypatch, tmp_path):
    path = transferability_path(home, AS_OF, TARGETS[-1])
    path.rename(tmp_path / "away")
    try:
        key = dg.MultiPartitionKey({"target": TARGETS[-1], "as_of": AS_OF})
        result = materialised(transferability_check, partition_key=key)
        (failed,) = [event for event in result.all_events if event.is_step_failure]
        assert "materialise transferability first" in failed.step_failure_data.user_failure_data.description
    finally:
        (tmp_path / "away").rename(path)


def test_blocks_that_are_off_are_not_read(home, monkeypatch):
    """What training may not read must not earn a source its place either."""
    from orchestration.defs import transferability as module
    from orchestration.features import embedded_snapshot

    snapshot = embedded_snapshot(AS_OF, CONFIG, home)
    source = CONFIG.sources(TARGET)[0]
    assert module.asked_of(snapshot, TARGET, AS_OF).snapshot.catalogues[source].has_vector.any()
    without = CONFIG.model_copy(update={"blocks": CONFIG.blocks.model_copy(update={"text": False})})
    monkeypatch.setattr(module, "CONFIG", without)
    assert not module.asked_of(snapshot, TARGET, AS_OF).snapshot.catalogues[source].has_vector.any()


def test_the_card_has_the_matrix_and_the_ladder(home, checked, digest):
    rungs = [{"candidate": "popularity", "blend": {"popularity": 1.0}}]
    columns = matrix(home, AS_OF, TARGETS, digest)
    ladder, helps = card_sections(columns, TARGET, {"ladder": {"cold": rungs}})
    assert list(ladder.lines) == ["cold users: the most popular items"]
    assert in_short(columns[0]) in helps.lines
    assert agreement(columns[0]) in helps.lines
    assert len(helps.table.rows) == len(columns[0].estimated)
    words = [text.text for text in ElementTree.fromstring(helps.picture).iter() if text.tag.endswith("text")]
    # Both stages are drawn, the second for the one target that is trained.
    assert {"cold users", "estimated before training", "measured after training"} <= set(words)
    for cell in columns[0].estimated:
        assert lift(cell).split()[0] + ("*" if cell.certain else "") in words
    assert card_sections([], TARGET, {}) == []


def test_a_table_marks_what_is_certain(home, estimated, digest):
    column = read_transferability(home, AS_OF, TARGET, digest)
    table = markdown_table(transfer_table(column))
    assert table.count("\u00a0*") == sum(cell.certain for cell in (*column.estimated, *column.measured)) > 0


def test_files_are_plain_json(home, estimated):
    document = json.loads(transferability_path(home, AS_OF, TARGET).read_text())
    assert {"target", "data_digest", "k", "ground", "estimated", "measured", "rules"} == set(document)
