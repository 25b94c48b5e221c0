"""`landbridge review` as a reviewer uses it: what it prints, and one line for what goes wrong."""

import shutil

import pytest
from click.testing import CliRunner
from decision_case import REFUSED

from orchestration.cli import main

pytestmark = pytest.mark.slow


def landbridge(*words):
    return CliRunner().invoke(main, ["review", *map(str, words)])


@pytest.fixture
def case(make):
    return make()


def test_a_review_from_the_list_to_the_way_back(case):
    listed = landbridge("list", case.target)
    assert listed.exit_code == 0, listed.output
    waiting = ", ".join(f"{case.target} {number}" for number in (3, 2, 1))
    assert listed.output.endswith(f"Waiting for a review: {waiting}\n")
    for number in (1, 2):
        approved = landbridge("approve", case.target, number, "--by", "anna", "--note", "holds [0.1]")
        assert f"version {number} is the champion, approved by anna" in approved.output
    shown = landbridge("show", case.target, 2).output
    assert "approved by anna: holds [0.1]" in shown
    changed = landbridge("diff", case.target, 3)
    assert changed.exit_code == 0, changed.output
    assert "from version 2 to version 3" in changed.output
    back = landbridge("rollback", case.target, "--by", "ben", "--note", "complaints")
    assert "version 1 is the champion again, in place of version 2; rolled back by ben" in back.output
    assert "replaced: version 1 rolled back by ben: complaints" in landbridge("show", case.target, 2).output
    assert "rejected by ben" in landbridge("reject", case.target, 3, "--by", "ben").output
    assert case.champion == 1


@pytest.mark.parametrize(
    "words, said",
    [
        (("approve", 9), "has no version 9; it has: 1, 2, 3, 4"),
        (("approve", 3, "--by", " "), "say who decides with --by NAME"),
        (("approve", REFUSED), "did not pass the gate, so it cannot be approved"),
        (("rollback",), "no earlier champion to go back to"),
        (("diff", 1), "no other champion to compare version 1 with"),
    ],
)
def test_what_cannot_be_done_is_one_line(case, words, said):
    done = landbridge(words[0], case.target, *words[1:])
    assert done.exit_code == 1
    assert said in done.output
    assert len(done.output.splitlines()) == 1


def test_a_target_that_is_misspelt_is_told_the_others_and_mlflow_s_name_for_it_will_do(case):
    for words in (("approve", "bok", 3), ("list", "bok")):
        done = landbridge(*words)
        assert done.exit_code == 1
        assert "no version of a target 'bok'; targets with versions: " in done.output
        assert case.target in done.output
    assert landbridge("show", case.model, 3).exit_code == 0


def test_mlflow_down_is_one_line_and_changes_nothing(case):
    database = case.registry.home.mlflow / "mlflow.db"
    kept = shutil.move(database, database.with_suffix(".kept"))
    database.write_bytes(b"this is no database" * 100)
    try:
        done = landbridge("approve", case.target, 3)
    finally:
        shutil.move(kept, database)
    assert done.exit_code == 1
    assert "gives no answer (file is not a database)" in done.output
    assert (case.champion, case.by_persons()) == (None, [])


def test_the_second_person_is_asked_for_by_the_home_s_own_configuration(case, tmp_path):
    rules = (
        "calendar: {{grain: day, start: 2026-01-01}}\npromotion: {{two_people: {two}}}\ndomains: {domains}\n"
    )
    events = "{path: e.csv, format: csv, columns: {user: u, item: i, time: t}}"
    items = "{path: i.csv, format: csv, columns: {item: i, text: [t]}}"
    domains = "{a: {events: %s, items: %s}, b: {events: %s, items: %s}}" % ((events, items) * 2)
    strict, lax = tmp_path / "strict.yaml", tmp_path / "lax.yaml"
    strict.write_text(rules.format(two="true", domains=domains))
    lax.write_text(rules.format(two="false", domains=domains))
    owner = case.registry.home.root / "configuration"
    owner.write_text(f"{strict}\n")
    try:
        first = landbridge("approve", case.target, 3, "--by", "anna")
        assert "a second person must approve it too" in first.output, first.output
        round_it = landbridge("--config", lax, "approve", case.target, 3, "--by", "anna")
        assert "holds the state of" in round_it.output
        assert case.champion is None
    finally:
        owner.unlink()
