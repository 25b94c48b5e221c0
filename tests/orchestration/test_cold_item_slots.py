"""What a user writes and reads of new items: the setting with its faults, and the card's table."""

from dataclasses import replace
from pathlib import Path

import pytest
from card_case import CARD

from ml.metrics.report import CohortRow, LiftRow
from orchestration.config import ConfigError, parse_config
from orchestration.review.card import html, markdown
from orchestration.review.cohort_tables import metric_table

SHOP = {
    "events": {
        "path": "events.csv",
        "format": "csv",
        "columns": {"user": "user_id", "item": "item_id", "time": "timestamp"},
    },
    "items": {"path": "items.csv", "format": "csv", "columns": {"item": "item_id", "text": ["title"]}},
}
MEANS = {"popularity": 0.0072, "twin": 0.1031, "bridge": 0.1052}
COLD_ROWS = [CohortRow("cold_items", n, "recall", m, m - 0.01, m + 0.01, 1048) for n, m in MEANS.items()]
COLD_LIFT = LiftRow("cold_items", "recall", 0.0021, -0.001, 0.005, 1048)


def configured(slots):
    document = {
        "calendar": {"grain": "month", "start": "2024-01-01", "end": "2024-06-01"},
        "identity": "shared",
        "domains": {"books": SHOP},
        "recommendations": {"cold_item_slots": slots},
    }
    return parse_config(document, Path("landbridge.yaml"))


def test_lists_have_no_room_for_new_items_unless_it_is_asked_for():
    assert configured(2).recommendations.cold_item_slots == 2
    assert configured(0).recommendations == type(configured(0).recommendations)()


@pytest.mark.parametrize("slots", [-1, "many", 1.5, 1000])
def test_a_wrong_number_of_places_is_a_fault_that_names_its_key(slots):
    with pytest.raises(ConfigError, match=r"recommendations\.cold_item_slots"):
        configured(slots)


def test_the_card_shows_what_first_events_change_and_leaves_out_what_was_not_measured():
    rows = [CohortRow(c, n, "recall", m, m, m, 200) for c in ("new_1", "new_5") for n, m in MEANS.items()]
    page = markdown(replace(CARD, rows=[*CARD.rows, *rows]))
    assert "New users: recall@10 after their first events" in page
    assert [n for n in ("1 event", "2 events", "3 events", "5 events") if f"| {n}&emsp; |" in page] == [
        "1 event",
        "5 events",
    ]
    assert "New users" not in markdown(CARD)


def test_the_card_shows_cold_items_apart_and_only_where_they_were_measured():
    measured = replace(CARD, rows=[*CARD.rows, *COLD_ROWS], lifts=[*CARD.lifts, COLD_LIFT])
    for write in (markdown, html):
        assert "Cold items" not in write(CARD)
        page = write(measured)
        assert "Cold items: recall@10" in page
        assert "1,048" in page
        assert ".1052" in page.replace("\u00a0", " ")
    # The main table and what is read from it stay those of users.
    assert metric_table(measured.rows, measured.lifts, "recall") == metric_table(
        CARD.rows, CARD.lifts, "recall"
    )
