"""Decisions on a real MLflow store and a real warehouse: their effects, refusals and faults."""

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from decision_case import REFUSED

from ml.metrics.gate import Condition, Trial, Verdict
from orchestration.resources import warehouse
from orchestration.resources.gatekeeper import GATE_FILE, Judged
from orchestration.resources.registry import RegistryError
from orchestration.resources.review_log import GATE
from orchestration.resources.warehouse import WarehouseError

pytestmark = pytest.mark.slow  # MLflow alone takes seconds to import


@pytest.fixture
def case(make):
    return make()


def test_an_approval_moves_the_champion_and_is_kept_with_its_digests(case):
    assert case.registry.aliases(case.target) == {"challenger": 3}
    assert case.decide.approve(case.target, 3, "anna", "holds") == (
        f"{case.target}: version 3 is the champion, approved by anna"
    )
    assert case.registry.aliases(case.target) == {"champion": 3}
    row = case.registry.log.rows(case.model, 3)[-1]
    assert (row.decision, row.decided_by, row.note) == ("approved", "anna", "holds")
    assert (row.content_digest, row.data_digest) == (
        case.tags(3)["content_digest"],
        case.tags(3)["data_digest"],
    )
    assert (case.tags(3)["review"], case.tags(3)["reviewed_by"]) == ("approved", "anna")


def test_the_same_decision_again_changes_nothing(case):
    case.approve(3)
    case.decide.reject(case.target, 1, "ben")
    before = case.by_persons(), case.tags(3), case.tags(1)
    assert "was approved by anna on" in case.approve(3, by="carla")
    assert "was rejected by ben on" in case.decide.reject(case.target, 1, "carla")
    assert (case.by_persons(), case.tags(3), case.tags(1)) == before


def test_what_cannot_be_decided_is_refused_with_what_to_do(case):
    case.approve(3)
    with pytest.raises(RegistryError, match="is the champion: approve another version instead, or go back"):
        case.decide.reject(case.target, 3, "ben")
    with pytest.raises(RegistryError, match="no version 7; it has: 1, 2, 3, 4"):
        case.approve(7, by="ben")
    with pytest.raises(RegistryError, match="did not pass the gate, so it cannot be approved"):
        case.approve(REFUSED, by="ben")
    for nobody in ("", "  "):
        with pytest.raises(RegistryError, match="say who decides with --by NAME"):
            case.approve(2, by=nobody)
    assert case.by_persons() == [(3, "approved", "anna")]


class TestRollback:
    def test_each_goes_one_champion_further_back(self, case):
        case.approve(1, 2, 3)
        assert "version 2 is the champion again, in place of version 3" in case.decide.rollback(
            case.target, "ben"
        )
        assert (case.champion, case.tags(3)["review"], case.tags(2)["review"]) == (2, "replaced", "approved")
        case.decide.rollback(case.target, "ben", "worse still")
        assert case.champion == 1
        with pytest.raises(RegistryError, match="no earlier champion to go back to"):
            case.decide.rollback(case.target, "ben")
        assert case.by_persons()[3:] == [(2, "rolled back", "ben"), (1, "rolled back", "ben")]
        # Each decision about a version has a number, or the sensor takes it for one that it has seen.
        assert case.tags(1)["decisions"] == "2"

    def test_to_a_named_version_that_was_champion(self, case):
        case.approve(1, 2, 3)
        case.decide.rollback(case.target, "ben", to=1)
        assert case.champion == 1
        case.decide.rollback(case.target, "ben", to=3)  # forth again
        assert case.champion == 3
        with pytest.raises(RegistryError, match="4 was never champion, so this is no rollback"):
            case.decide.rollback(case.target, "ben", to=4)
        with pytest.raises(RegistryError, match="3 is the champion now"):
            case.decide.rollback(case.target, "ben", to=3)

    def test_passes_over_versions_that_were_deleted_or_turned_down_since(self, case):
        case.approve(1, 2, 3)
        case.decide.reject(case.target, 2, "ben")
        case.registry.client.delete_model_version(case.model, "3")
        assert case.champion is None
        assert "in place of the champion that was deleted" in case.decide.rollback(case.target, "ben")
        assert case.champion == 1

    def test_a_gate_that_has_become_stricter_stops_no_way_back(self, case):
        case.approve(1)
        case.approve(2)
        case.in_mlflow(1, gate="enabled", validation_status="failed")
        case.registry.record(case.registry.version(case.target, 1), GATE, "refused", "judged again")
        case.decide.rollback(case.target, "ben")
        assert case.champion == 1


class TestTampering:
    @pytest.mark.parametrize("number", [1, REFUSED])
    def test_edited_tags_are_set_back_and_nothing_is_decided(self, case, number):
        before = case.tags(number)
        case.in_mlflow(number, validation_status="passed", served="twin", data_digest="0" * 64)
        with pytest.raises(RegistryError, match=re.escape("served (says twin, was ")):
            case.approve(number, by="mallory")
        assert case.tags(number) == before
        assert (case.champion, case.by_persons()) == (None, [])

    def test_a_version_that_nobody_registered_with_us_is_unknown(self, case):
        source = case.registry.version(case.target, 1)
        case.registry.client.create_model_version(case.model, source.source, source.run_id, tags=source.tags)
        with pytest.raises(RegistryError, match=r"registry_reviews does not know landbridge-films[0-9]+ 5"):
            case.approve(5, by="mallory")

    def test_exchanged_files_cannot_become_champion_but_can_be_rejected(self, case):
        source = Path(case.registry.version(case.target, 1).source.removeprefix("file://"))
        code = source / "code" / "ml" / "columns.py"
        text = code.read_text()
        try:
            code.write_text(text + "\n# another line\n")
            with pytest.raises(RegistryError, match="its files or its figures are not those"):
                case.approve(1)
            case.decide.reject(case.target, 1, "anna")
        finally:
            code.write_text(text)
        case.approve(1)
        assert case.champion == 1

    def test_a_deleted_run_takes_its_evidence_with_it_until_it_is_restored(self, case):
        run = case.registry.version(case.target, 1).run_id
        case.registry.client.delete_run(run)
        with pytest.raises(RegistryError, match="its run, which holds its figures, was deleted"):
            case.approve(1)
        case.registry.client.restore_run(run)
        case.approve(1)
        assert case.champion == 1

    def test_another_run_s_figures_are_no_evidence(self, case):
        client, run = case.registry.client, case.registry.version(case.target, 1).run_id
        figures = client.get_run(run).data.tags["landbridge.evidence"]
        try:
            client.set_tag(run, "landbridge.evidence", "0" * 64)
            with pytest.raises(RegistryError, match="its files or its figures are not those"):
                case.approve(1)
        finally:
            client.set_tag(run, "landbridge.evidence", figures)

    def test_the_verdict_must_be_about_this_model_and_say_what_the_tag_says(self, case):
        """A version that claims to have passed; its run holds one verdict after another."""
        version = case.registry.version(case.target, 3)
        case.in_mlflow(3, gate="enabled", validation_status="passed")
        case.registry.record(case.registry.version(case.target, 3), GATE, "queued", "as the gate does")
        client, run = case.registry.client, version.run_id
        file = Path(client.get_run(run).info.artifact_uri.removeprefix("file://")) / GATE_FILE

        def verdict(passed, source):
            words = (Condition("coverage", passed, "Seen."),)
            Judged(source, Verdict(words), Trial(True, "It predicts.", 1.0)).write(client, run)

        try:
            with pytest.raises(RegistryError, match="holds no verdict of the gate"):
                case.approve(3)
            for passed, source, said in (
                (True, "elsewhere", "is about another model"),
                (False, version.source, "is not what its tag validation_status says"),
            ):
                verdict(passed, source)
                with pytest.raises(RegistryError, match=said):
                    case.approve(3)
            verdict(True, version.source)
            case.approve(3)
        finally:
            file.unlink()
        assert case.by_persons() == [(3, "approved", "anna")]


class TestTwoPeople:
    def test_the_second_approval_takes_effect_if_another_person_gives_it(self, make):
        case = make(two_people=True)
        assert "a second person must approve it too" in case.approve(3, by="Anna")
        assert (case.champion, case.tags(3)["review"]) == (None, "approved once")
        assert case.registry.aliases(case.target) == {"challenger": 3}
        with pytest.raises(
            RegistryError, match=r"Anna approved landbridge-films[0-9]+ 3 already: another person"
        ):
            case.decide.approve(case.target, 3, " anna ")
        case.approve(3, by="ben")
        assert case.champion == 3
        assert case.by_persons() == [(3, "approved once", "Anna"), (3, "approved", "ben")]

    def test_a_rejection_in_between_asks_for_two_again(self, make):
        case = make(two_people=True)
        case.approve(2)
        case.decide.reject(case.target, 2, "ben")
        case.approve(2, by="carla")
        assert (case.champion, case.tags(2)["review"]) == (None, "approved once")

    def test_one_person_is_enough_to_go_back(self, make):
        case = make(two_people=True)
        for number in (1, 2):
            case.approve(number)
            case.approve(number, by="ben")
        case.decide.rollback(case.target, "anna")
        assert case.champion == 1


class TestFaults:
    def test_a_decision_that_was_killed_before_the_alias_moved_is_completed_once(self, case):
        case.approve(1)
        case.registry.record(
            case.registry.version(case.target, 2), "anna", "approved", ""
        )  # killed right here
        assert case.champion == 1
        assert "already" in case.approve(2)
        assert (case.champion, case.tags(1)["review"]) == (2, "replaced")
        assert case.by_persons() == [(1, "approved", "anna"), (2, "approved", "anna")]

    def test_a_rollback_that_was_killed_is_completed_and_goes_no_further(self, case):
        case.approve(1, 2, 3)
        case.registry.record(case.registry.version(case.target, 2), "ben", "rolled back", "")
        case.decide.rollback(case.target, "ben")
        assert case.champion == 2

    def test_a_warehouse_in_other_hands_leaves_everything_as_it_was(self, case, monkeypatch):
        monkeypatch.setattr(warehouse, "_LOCK_ATTEMPTS", 2)
        hold = (
            "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
        )
        path, before = str(case.registry.home.warehouse), case.tags(3)
        with subprocess.Popen(
            [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(WarehouseError):
                case.approve(3)
            assert (case.champion, case.tags(3)) == (None, before)
            holder.stdin.close()
        case.approve(3)
        assert case.champion == 3

    def test_a_table_from_before_tags_were_kept_is_read_and_continued(self, case):
        with duckdb.connect(str(case.registry.home.warehouse)) as connection:
            connection.execute("alter table registry.registry_reviews drop column tags")
        assert {row.tags for row in case.registry.log.rows(case.model)} == {"{}"}
        case.approve(3)
        assert '"served": "bridge"' in case.registry.log.rows(case.model)[-1].tags
