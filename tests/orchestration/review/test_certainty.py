"""What a difference proves: each sentence from figures that call for it."""

import pytest

from ml.metrics.report import CohortRow, LiftRow
from orchestration.review.certainty import certainty_lines, certainty_section, proven

NAN = float("nan")


def lift(mean, low, high, q, detectable, differing=500, users=4000, cohort="cold", metric="recall"):
    return LiftRow(
        cohort, metric, mean, low, high, users, p=q, q=q, detectable=detectable, differing=differing
    )


GAIN = lift(0.01, 0.006, 0.014, 0.001, 0.006)
TWIN = CohortRow("cold", "twin", "recall", 0.05, 0.04, 0.06, 4000)


@pytest.mark.parametrize(
    "row, words",
    [
        (GAIN, "certain gain"),
        (lift(-0.01, -0.014, -0.006, 0.001, 0.006), "certain loss"),
        (lift(0.5, 0.1, 0.9, 0.04, 0.5, differing=6, users=12), "certain gain, though only 6 users differ"),
        (lift(0.01, 0.001, 0.019, 0.09, 0.013), "likely gain, not certain beside the other cohorts"),
        (lift(0.001, -0.004, 0.006, 0.7, 0.007), "no difference of more than .0060"),
        (lift(-0.003, -0.008, 0.002, 0.2, 0.007), "no difference of more than .0080"),
        (lift(0.02, -0.03, 0.07, 0.4, 0.07), "too few users to tell (could only have found .0700)"),
        (lift(0.0, 0.0, 0.0, 1.0, 0.0, differing=0), "no difference: every user gets as much from both"),
        (lift(0.3, 0.3, 0.3, 1.0, NAN, differing=1, users=1), "too few users to tell"),
        (lift(NAN, NAN, NAN, NAN, NAN, users=0), "no user could be measured"),
        (lift(0.01, 0.006, 0.014, NAN, NAN), "not known (an older report: evaluate again)"),
    ],
)
def test_words_by_hand(row, words):
    assert proven(row, before=0.05) == words


def test_what_is_worth_finding_depends_on_what_there_is():
    row = lift(0.001, -0.004, 0.006, 0.7, 0.007)
    assert proven(row, before=0.035).startswith("no difference")
    assert proven(row, before=0.034).startswith("too few users")
    assert proven(row, before=0.0).startswith("too few users")  # of a twin that finds nothing


def test_the_section_has_a_row_for_each_difference_of_the_metric():
    rows = [GAIN, lift(0, -1, 1, 1, 1, metric="ndcg"), lift(NAN, NAN, NAN, NAN, NAN, users=0, cohort="warm")]
    section = certainty_section(rows, [TWIN])
    assert [row[:3] for row in section.table.rows] == [["bridge over twin", "cold", "certain gain"]]
    assert section.table.rows[0][3:] == [
        "+.0100 [+.0060,\u00a0+.0140]",
        "0.001",
        ".0060",
        "4,000",
    ]
    assert certainty_section([], []) is None


def test_lines_say_only_what_is_not_settled():
    open_question = lift(0.02, -0.03, 0.07, 0.4, 0.07, users=60, cohort="all")
    assert certainty_lines([GAIN, open_question], [TWIN]) == [
        "Bridge over twin, 60 users: too few users to tell (could only have found .0700)."
    ]
