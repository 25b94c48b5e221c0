"""Who is champion and who was, by the recorded decisions alone."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.resources.review_log import BY_PERSON, GATE, Decision
from orchestration.review.champion_line import champion_line, registered_tags, standing, was_champion

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def rows(*decided: tuple[int, str]) -> list[Decision]:
    return [
        Decision(NOW, "anna" if what in BY_PERSON else GATE, "landbridge-films", number, what, "", "c", "d")
        for number, what in decided
    ]


A, R, B, P = "approved", "rejected", "rolled back", "promoted"


@pytest.mark.parametrize(
    "decided, line",
    [
        ([], []),
        ([(1, "queued"), (1, "approved once"), (2, "refused")], []),
        ([(1, P), (2, P), (3, A)], [1, 2, 3]),
        ([(1, A), (2, A), (3, A), (2, B)], [1, 2]),  # so that a second rollback goes to 1, not to 3
        ([(1, A), (2, A), (3, A), (2, B), (1, B)], [1]),
        ([(1, A), (2, A), (1, A), (2, A)], [1, 2]),  # an approval of an older version is a way back too
        ([(1, A), (2, A), (3, A), (2, R)], [1, 3]),  # nobody wants to go back to what was turned down since
        ([(1, A), (2, A), (1, B), (2, B)], [1, 2]),
    ],
)
def test_lines_worked_by_hand(decided, line):
    assert champion_line(rows(*decided)) == line


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([A, B, P, R, "queued", "overruled"]))))
def test_a_line_names_former_champions_once_and_ends_with_the_last_crowned(decided):
    found, crowned = champion_line(rows(*decided)), [n for n, what in decided if what in (A, B, P)]
    assert len(set(found)) == len(found)
    assert all(was_champion(rows(*decided), number) for number in found)
    if crowned and (crowned[-1], R) not in decided:
        assert found[-1] == crowned[-1]


@pytest.mark.parametrize(
    "decided, word",
    [
        ([], "none"),
        ([(1, "queued")], "pending"),
        ([(1, "refused")], "refused"),
        ([(1, P)], "promoted"),
        ([(1, "queued"), (1, "approved once")], "approved once"),
        ([(1, A)], "approved"),
        ([(1, A), (2, A)], "replaced"),
        ([(1, A), (2, A), (1, B)], "approved"),
        ([(1, "queued"), (1, R)], "rejected"),
        ([(1, "queued"), (1, "overruled")], "pending"),  # what was overruled never held
    ],
)
def test_the_word_that_the_tag_review_stands_at(decided, word):
    assert standing(rows(*decided), 1) == word


def test_what_a_version_said_of_itself_is_what_the_gate_last_recorded():
    found = rows((1, "queued"), (2, "queued"), (1, A))
    assert registered_tags(found, 1) == {"content_digest": "c", "data_digest": "d"}
    assert registered_tags(found, 3) is None
