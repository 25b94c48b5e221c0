"""Decisions set in MLflow: how they are found, ordered, done or set back."""

import shutil

import dagster as dg
import pytest
from decision_case import AS_OFS, REFUSED

from orchestration.defs.schedules import champion_moved, mlflow_reviews, review_decisions


@pytest.fixture
def case(make):
    return make()


pytestmark = pytest.mark.slow


def asked(case):
    """What the sensor asks of a tick about a case's target; None where it skips or asks about others only."""
    keys = [
        found.run_key
        for found in mlflow_reviews(dg.build_sensor_context())
        if isinstance(found, dg.RunRequest)
    ]
    found = [part for key in keys for part in key.split() if part.startswith(f"{case.target}-")]
    return " ".join(found).removeprefix(f"{case.target}-") or None


@pytest.mark.parametrize("word", ["approved", " Approve "])
def test_a_tag_is_a_decision_once(case, word):
    assert case.requests.settle(case.target) == []
    case.in_mlflow(3, reviewed_by="anna", review=word)
    assert case.requests.settle(case.target) == [
        f"{case.target}: version 3 is the champion, approved by anna"
    ]
    assert (case.champion, case.tags(3)["review"]) == (3, "approved")
    assert case.requests.settle(case.target) == []
    assert case.by_persons() == [(3, "approved", "anna")]


@pytest.mark.parametrize(
    "number, word, problem",
    [
        (3, "aproved", "the tag review says 'aproved'; what it can say is approved or rejected"),
        (REFUSED, "approved", "did not pass the gate"),
    ],
)
def test_what_cannot_be_done_is_set_back_with_the_reason(case, number, word, problem):
    before = case.tags(number)["review"]
    case.in_mlflow(number, review=word)
    (line,) = case.requests.settle(case.target)
    assert "the tag was set back" in line
    assert case.tags(number)["review"] == before
    assert problem in case.tags(number)["review_problem"]
    assert (case.champion, case.by_persons(), case.requests.settle(case.target)) == (None, [], [])


def test_a_decision_that_is_possible_clears_the_problem(case):
    case.in_mlflow(3, review="yes")
    case.requests.settle(case.target)
    case.in_mlflow(3, review="approved")
    case.requests.settle(case.target)
    assert "review_problem" not in case.tags(3)


def test_of_two_approved_together_the_newest_data_is_champion_and_both_are_kept(case):
    case.in_mlflow(3, review="approved", reviewed_by="anna")
    case.in_mlflow(1, review="approved", reviewed_by="ben")
    case.requests.settle(case.target)
    assert (case.champion, case.tags(1)["review"]) == (3, "replaced")
    assert case.by_persons() == [(1, "approved", "ben"), (3, "approved", "anna")]


def test_a_decision_overrules_a_contrary_request_about_the_same_version(case):
    case.in_mlflow(3, review="approved", reviewed_by="anna")
    assert case.requests.carry_out_others(case.target, 3) == []
    case.decide.reject(case.target, 3, "ben")
    assert case.by_persons() == [(3, "overruled", "anna"), (3, "rejected", "ben")]
    assert (case.champion, case.tags(3)["review"]) == (None, "rejected")
    assert case.requests.settle(case.target) == []


def test_what_waits_about_other_versions_was_asked_for_before(case):
    case.in_mlflow(3, review="approved", reviewed_by="anna")
    assert len(case.requests.carry_out_others(case.target, 2)) == 1
    case.approve(2, by="ben")
    assert case.champion == 2
    assert case.by_persons() == [(3, "approved", "anna"), (2, "approved", "ben")]


def test_a_rollback_is_not_undone_by_what_waited(case):
    case.approve(1)
    case.approve(2)
    case.in_mlflow(3, review="approved", reviewed_by="carla")
    case.decide.rollback(case.target, "ben")
    case.requests.overrule_all(case.target, f"{case.target} was rolled back by ben")
    assert case.requests.settle(case.target) == []
    assert (case.champion, case.tags(3)["review"]) == (1, "pending")
    assert case.tags(3)["review_problem"] == f"{case.target} was rolled back by ben"
    assert case.by_persons()[-1] == (3, "overruled", "carla")


def test_a_version_deleted_between_listing_and_applying_is_passed_over(case):
    case.in_mlflow(2, review="approved")
    case.in_mlflow(3, review="approved")
    waiting = case.requests.waiting(case.target)
    case.registry.client.delete_model_version(case.model, "3")
    told = [case.requests.carry_out(case.target, version) for version in waiting]
    assert told[1] == f"{case.target}: version 3 was deleted in MLflow before it could be approved"
    assert case.champion == 2


def test_two_people_in_mlflow_name_themselves(make):
    case = make(two_people=True)
    case.in_mlflow(3, review="approved")
    assert "first reviewed_by = your name" in case.requests.settle(case.target)[0]
    case.in_mlflow(3, reviewed_by="anna", review="approved")
    case.requests.settle(case.target)
    assert (case.champion, case.tags(3)["review"]) == (None, "approved once")
    case.in_mlflow(3, review="approved")  # whoever it is has left anna's name there
    assert "another person must" in case.requests.settle(case.target)[0]
    case.in_mlflow(3, reviewed_by="ben", review="approved")
    case.requests.settle(case.target)
    assert case.champion == 3


class TestAliasMovedByHand:
    def test_it_is_put_back_to_the_last_decision(self, case):
        case.approve(1)
        case.registry.client.set_registered_model_alias(case.model, "champion", "3")
        assert asked(case) == "3-alias"
        (line,) = case.requests.settle(case.target)
        assert line.endswith("by the last decision recorded; the alias was on version 3")
        assert (case.champion, asked(case)) == (1, None)
        assert case.by_persons() == [(1, "approved", "anna")]

    def test_to_a_version_that_the_gate_refused_nobody_is_served_it(self, case):
        case.approve(1)
        case.registry.client.set_registered_model_alias(case.model, "champion", str(REFUSED))
        assert asked(case) == f"{REFUSED}-alias"
        found = list(champion_moved(dg.build_sensor_context()))
        assert not [request for request in found if request.run_key.startswith(f"{case.target}-")]
        case.requests.settle(case.target)
        assert (case.champion, asked(case)) == (1, None)
        assert case.tags(REFUSED)["review"] == "refused"
        assert "set by hand" in case.tags(REFUSED)["review_problem"]

    def test_a_decision_that_a_kill_cut_short_is_nobody_s_hand(self, case):
        case.approve(1)
        case.registry.record(case.registry.version(case.target, 2), "anna", "approved", "")
        assert "the champion by the last decision recorded" in case.requests.settle(case.target)[0]
        assert (case.champion, case.tags(1)["review"]) == (2, "replaced")
        assert "review_problem" not in case.tags(1)

    def test_a_rollback_takes_it_back_and_is_kept(self, case):
        case.approve(1)
        case.registry.client.set_registered_model_alias(case.model, "champion", str(REFUSED))
        case.decide.rollback(case.target, "ben", "it was not me")
        assert case.champion == 1
        assert case.by_persons() == [(1, "approved", "anna"), (REFUSED, "overruled", "ben")]
        assert case.registry.log.rows(case.model, REFUSED)[-1].note.endswith("; it was not me")

    def test_before_any_decision_it_is_taken_off(self, case):
        case.registry.client.set_registered_model_alias(case.model, "champion", "3")
        case.requests.settle(case.target)
        assert case.champion is None
        assert "set the tag review to approved instead" in case.tags(3)["review_problem"]

    def test_it_is_the_user_s_where_nobody_is_asked(self, case):
        case.registry.client.set_registered_model_alias(case.model, "champion", "3")
        assert case.requests.settle(case.target, follows_log=False) == []
        assert case.champion == 3

    def test_a_deleted_champion_is_not_replaced_by_itself(self, case):
        case.approve(1)
        case.approve(2)
        case.registry.client.delete_model_version(case.model, "2")
        assert case.requests.settle(case.target) == []
        assert case.champion is None


def test_the_sensor_asks_the_job_decides_and_lists_are_asked_for(case):
    assert asked(case) is None
    case.in_mlflow(3, review="approved", reviewed_by="anna")
    assert asked(case) == "3-approved-0"
    assert review_decisions.execute_in_process().success
    assert (case.champion, asked(case)) == (3, None)
    (request,) = [
        found
        for found in champion_moved(dg.build_sensor_context())
        if found.run_key.startswith(f"{case.target}-")
    ]
    assert request.partition_key == dg.MultiPartitionKey({"target": case.target, "as_of": AS_OFS[2]})


def test_with_mlflow_down_the_sensors_skip_and_nothing_is_lost(case):
    case.in_mlflow(3, review="approved", reviewed_by="anna")
    database = case.registry.home.mlflow / "mlflow.db"
    kept = database.with_suffix(".kept")
    shutil.move(database, kept)
    database.write_bytes(b"this is no database" * 100)
    for sensor in (mlflow_reviews, champion_moved):
        (skipped,) = sensor(dg.build_sensor_context())
        assert "gives no answer (file is not a database)" in skipped.skip_message
    shutil.move(kept, database)
    assert asked(case) == "3-approved-0"
