"""From a snapshot to served lists: every asset of the path for real, on a world where transfer must help."""

from datetime import date

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest
from transfer_case import AS_OF, DAY, TARGET, write_world

from orchestration.config import Calendar, Home
from orchestration.defs.champion import champion_lists
from orchestration.defs.evaluate import evaluation, read_report
from orchestration.defs.recommend import (
    recommendation_lists,
    recommendations,
    recommendations_path,
    served_as_of,
    served_version,
)
from orchestration.defs.registry import gather_evidence, model_version
from orchestration.defs.schedules import champion_moved, mlflow_reviews, review_decisions
from orchestration.defs.snapshot import snapshot_of
from orchestration.defs.transfer import bridge, choices, horizon
from orchestration.partitions import CONFIG
from orchestration.recommendations_config import Recommendations
from orchestration.resources.registry import Registry
from orchestration.resources.warehouse import Warehouse
from orchestration.review.beside_champion import beside_champion
from orchestration.review.card import html
from orchestration.review.gating import CONDITIONS

RE_RANKED = Recommendations(diversity=0.6, popularity_penalty=0.3, depth=30)
STAGES = [bridge, champion_lists, evaluation, model_version, recommendation_lists, recommendations]


def materialise(*assets: dg.AssetsDefinition, as_of: str = AS_OF) -> dg.ExecuteInProcessResult:
    """The assets for one target and as-of; what lies before them is read from the home."""
    known = {key for asset in STAGES for key in asset.keys}
    before = {dep for asset in STAGES for deps in asset.asset_deps.values() for dep in deps} - known
    return dg.materialize(
        [*STAGES, *(dg.AssetSpec(key) for key in before)],
        selection=list(assets),
        partition_key=dg.MultiPartitionKey({"target": TARGET, "as_of": as_of}),
        resources={"warehouse": Warehouse()},
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDBRIDGE_HOME", str(tmp_path_factory.mktemp("home")))
        changed = CONFIG.model_copy(update={"recommendations": RE_RANKED})
        patch.setattr("orchestration.defs.transfer.CONFIG", changed)
        yield Home()


@pytest.fixture(scope="module")
def first_run(home):
    write_world(home)
    return materialise(*STAGES)


def served(home: Home) -> list[tuple]:
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        return connection.sql("from serving.recommendations order by all").fetchall()


def metadata(result: dg.ExecuteInProcessResult, asset: dg.AssetsDefinition) -> dict:
    return result.asset_materializations_for_node(asset.op.name)[0].metadata


@pytest.mark.parametrize(
    "grain, start, windows, as_of, days",
    [
        ("day", "2026-01-01", 14, "2026-03-01", 14),
        ("week", "2026-01-04", 2, "2026-03-01", 14),
        ("month", "2026-01-01", 1, "2026-03-01", 28),
        ("month", "2026-01-01", 2, "2026-01-01", 61),
    ],
)
def test_the_horizon_is_what_the_last_windows_span(grain, start, windows, as_of, days):
    calendar = Calendar(grain=grain, start=start)
    assert horizon(calendar, windows, date.fromisoformat(as_of)) == days * DAY


@pytest.mark.slow
class TestPath:
    def test_transfer_is_chosen_and_shown(self, first_run):
        shown = metadata(first_run, bridge)
        assert "cold" in shown["chosen"].value
        assert choices(shown["selection"].data).header[0] == "cohort"

    def test_the_bridge_passes_the_gate_with_every_check(self, first_run):
        found = {check.check_name: check for check in first_run.get_asset_check_evaluations()}
        measured = {"bridge_not_worse_than_twin", "recall_above_popularity", "bridge_certainly_helps"}
        assert measured | {*CONDITIONS} <= set(found)
        assert all(check.passed for check in found.values())
        assert "loads and lists for 50 users" in found["clean_process"].metadata["words"].value
        assert metadata(first_run, evaluation)["served"].value == "bridge"
        assert metadata(first_run, champion_lists)["state"].value == "none"
        assert "lets this version pass" in metadata(first_run, model_version)["gate"].value
        assert "no champion yet" in metadata(first_run, model_version)["review_card"].value

    def test_a_configured_re_ranker_is_priced_and_served(self, home, first_run):
        price = {
            (r.candidate, r.cohort, r.metric): r for r in read_report(home.models / AS_OF / TARGET).price
        }
        assert price["bridge", "cold", "diversity"].low > 0
        assert price["bridge", "cold", "novelty"].low > 0
        assert "recall" in metadata(first_run, evaluation)["re_ranking"].value
        assert "coverage" in metadata(first_run, evaluation)["beyond_accuracy"].value
        assert (
            "diversity 0.6, popularity penalty 0.3" in metadata(first_run, model_version)["review_card"].value
        )
        lists = pq.read_table(recommendations_path(home, TARGET)).to_pandas()
        assert any(not scores.is_monotonic_decreasing for _, scores in lists.groupby("user_id").score)

    def test_users_get_k_items_they_have_not_seen(self, home, first_run):
        lists = pq.read_table(recommendations_path(home, TARGET)).to_pandas()
        assert (lists.groupby("user_id").size() == CONFIG.evaluation.k).all()
        assert lists.user_id.nunique() == 400
        snapshot = next((home.snapshots).glob("*/interactions.parquet"))
        log = pq.read_table(snapshot).to_pandas().query("domain == @TARGET")
        assert not set(zip(log.user_id, log.item_id, strict=True)) & set(
            zip(lists.user_id, lists.item_id, strict=True)
        )

    def test_the_table_holds_the_file(self, home, first_run):
        rows = served(home)
        assert len(rows) == pq.read_metadata(recommendations_path(home, TARGET)).num_rows == 4000
        assert {(row[0], row[6], row[7]) for row in rows} == {(TARGET, 1, date(2026, 3, 1))}

    def test_what_the_lists_leave_out_is_counted(self, first_run):
        for asset in (recommendation_lists, recommendations):  # nothing here tells availability
            assert metadata(first_run, asset)["unavailable_items"].value == 0

    def test_the_sample_shows_titles(self, first_run):
        sample = metadata(first_run, recommendation_lists)["sample"].value
        assert f"| u0000 | 1 | {TARGET} " in sample

    def test_a_second_run_changes_nothing(self, home, first_run):
        before = served(home)
        again = materialise(*STAGES)
        assert metadata(again, model_version)["version"].value == 1
        assert served(home) == before
        # The champion is this very recipe by now: the same lists, and no second version of the same content.
        assert "recipe is that of this version's bridge" in metadata(again, champion_lists)["how"].value
        report = read_report(home.models / AS_OF / TARGET)
        apart = [row for row in report.comparisons if (row.of, row.over) == ("bridge", "champion")]
        assert {(row.mean, row.low, row.high) for row in apart if row.users} == {(0.0, 0.0, 0.0)}

    def test_a_backfill_of_the_past_leaves_what_users_get(self, home, first_run):
        before = served(home)
        write_world(home, "2026-02-01")
        past = materialise(*STAGES, as_of="2026-02-01")
        assert "its recipe was chosen on data after 2026-02-01" in metadata(past, champion_lists)["how"].value
        assert metadata(past, model_version)["decision"].value == "superseded"
        assert served_as_of(recommendations_path(home, TARGET)) == date(2026, 3, 1)
        assert served_version(recommendations_path(home, TARGET)) == 1
        assert served(home) == before

    def test_a_review_in_mlflow_moves_the_champion_and_refreshes_the_lists(self, home, first_run):
        """Version 2 (the backfill of the past) is approved by its tag: each sensor asks for its run once."""
        registry = Registry(home)
        tick = dg.build_sensor_context()
        assert [type(found) for found in mlflow_reviews(tick)] == [dg.SkipReason]
        assert list(champion_moved(tick)) == []
        registry.client.set_model_version_tag(f"landbridge-{TARGET}", "2", "review", "approved")
        assert len(list(mlflow_reviews(tick))) == 1
        assert review_decisions.execute_in_process().success
        assert int(registry.champion(TARGET).version) == 2
        (request,) = champion_moved(tick)
        assert request.partition_key == dg.MultiPartitionKey({"target": TARGET, "as_of": AS_OF})
        materialise(recommendation_lists, recommendations)
        assert {(row[6], row[7]) for row in served(home)} == {(2, date(2026, 3, 1))}
        assert list(champion_moved(tick)) == []

    def test_the_card_shows_users_with_the_champions_lists_beside(self, home, first_run):
        """The champion is version 2 by now: its recipe is followed here, its model gives the reasons."""
        materialise(champion_lists, evaluation)
        registry, day = Registry(home), date.fromisoformat(AS_OF)
        found = gather_evidence(TARGET, day, CONFIG, home, "a run")
        card = beside_champion(found, registry, snapshot_of(AS_OF), seed=0).card
        page = html(card)
        assert "champion (version 2)" in page
        assert "What changed from version 2" in page
        lifts = [row for row in card.comparisons if row.over == "champion" and row.users]
        assert lifts

    def test_no_list_is_made_for_what_the_gate_refused_and_nobody_approved(self, home, first_run):
        before, registry = served(home), Registry(home)
        registry.tag(
            registry.version(TARGET, 1), gate="enabled", validation_status="failed", review="refused"
        )
        registry.client.set_registered_model_alias(f"landbridge-{TARGET}", "champion", "1")
        with pytest.raises(dg.Failure, match="set by hand to version 1, which the gate refused"):
            materialise(recommendation_lists, recommendations)
        assert served(home) == before
