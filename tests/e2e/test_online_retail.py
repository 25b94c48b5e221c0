"""UCI Online Retail, untouched: every line accounted for, by a reference in pandas that shares no code.

The reference reads the CSV itself and knows the rules only from the documentation: a closed list of reasons,
of which the first that applies counts, and cancellations that each take the newest purchase still standing.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from example_run import Cleaned, cleaned, differing_lines, example_config

pytestmark = pytest.mark.slow
LINES = 240_007
# Written down, so that the reference and the models cannot drift together; examples/README.md shows them too.
COUNTS = {
    ("united_kingdom", "kept"): 151_416,
    ("united_kingdom", "missing_user"): 66_659,
    ("united_kingdom", "not_an_item"): 262,
    ("united_kingdom", "zero_value"): 9,
    ("united_kingdom", "duplicate"): 1_933,
    ("abroad", "kept"): 18_551,
    ("abroad", "missing_user"): 566,
    ("abroad", "not_an_item"): 594,
    ("abroad", "zero_value"): 4,
    ("abroad", "duplicate"): 13,
}
OUTCOMES = {"complete": 1_090, "partial": 1_980, "unmatched": 857}
# Goods are numbered with five digits, but for these; and one number is no article.
OTHER_GOODS = r"DCGS\w+|PADS"
CARRIAGE = "23444"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cleaned]:
    with cleaned(example_config("online_retail"), tmp_path_factory.mktemp("online_retail")) as made:
        yield made


@pytest.fixture(scope="module")
def log(shop: Cleaned) -> pd.DataFrame:
    """The file as pandas reads it, with a verdict for every line."""
    path = shop.config.resolve(shop.config.domains["abroad"].events.path)
    return judged(path)


def judged(path: Path) -> pd.DataFrame:
    log = pd.read_csv(path, dtype=str, keep_default_na=False)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        log["raw_line"] = file.read().splitlines()[1:]
    log["source_line"] = np.arange(2, len(log) + 2)
    log["domain"] = np.where(log.Country == "United Kingdom", "united_kingdom", "abroad")
    log["user_id"] = log.CustomerID.str.removesuffix(".0")
    log["item_id"] = log.StockCode.str.upper()
    log["moment"] = pd.to_datetime(log.InvoiceDate, format="%m/%d/%y %H:%M", utc=True, errors="coerce")
    log["window"] = log.moment.dt.strftime("%Y-%m-01")
    log["units"] = log.Quantity.astype(int).abs()
    log["cancels"] = log.InvoiceNo.str.startswith("C") | log.Quantity.str.startswith("-")
    price = log.UnitPrice.astype(float)
    goods = log.item_id.str.fullmatch(r"\d{5}[A-Z]*|" + OTHER_GOODS) & (log.item_id != CARRIAGE)
    paid_for = (log.user_id != "") & (price > 0)
    log["reason"] = np.select(
        [
            log.user_id == "",
            log.item_id == "",
            log.moment.isna(),
            log.moment < "2010-12-01T00:00Z",
            log.moment >= "2012-01-01T00:00Z",
            price < 0,
            price == 0,
            ~goods,
            log.duplicated(["domain", "window", "raw_line"]),
            ~log.item_id.isin(log.item_id[paid_for & goods]),
        ],
        [
            "missing_user", "missing_item", "bad_time", "before_calendar", "future_time", "negative_value",
            "zero_value", "not_an_item", "duplicate", "orphan_item",
        ],
        default="kept",
    )  # fmt: skip
    return log


def cancellations(log: pd.DataFrame) -> pd.DataFrame:
    """Every kept cancelling line, the purchase it takes and what that takes back, line by line from a stack.

    All purchases weigh 1, so an interaction loses its 1 with the last of its purchases.
    """
    kept = log[log.reason == "kept"].sort_values(["moment", "cancels", "source_line"])
    kept = kept[kept.groupby(["domain", "user_id", "item_id"]).cancels.transform("any")]
    interaction = ["domain", "window", "user_id", "item_id"]
    standing = kept[~kept.cancels].groupby(interaction).size().to_dict()
    stacks: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    rows: list[tuple[int, str, int, float]] = []
    for line in kept.itertuples():
        stack = stacks[line.domain, line.user_id, line.item_id]
        if not line.cancels:
            stack.append(line)
        elif not stack:
            rows.append((line.source_line, "unmatched", 0, 0.0))
        else:
            purchase = stack.pop()
            if line.units < purchase.units:
                rows.append((line.source_line, "partial", purchase.source_line, 0.0))
                continue
            bought = tuple(getattr(purchase, column) for column in interaction)
            standing[bought] -= 1
            takes_back = 0.0 if standing[bought] else -1.0
            rows.append((line.source_line, "complete", purchase.source_line, takes_back))
    return pd.DataFrame(rows, columns=["source_line", "outcome", "purchase_line", "takes_back"])


def test_every_line_has_the_verdict_of_the_reference(shop: Cleaned, log: pd.DataFrame) -> None:
    verdicts = shop.verdicts()
    assert len(verdicts) == len(log) == LINES
    assert verdicts.source_line.is_unique
    assert differing_lines(verdicts, log[["domain", "source_line", "reason"]]) == []


def test_the_counts_are_those_of_the_reference(shop: Cleaned, log: pd.DataFrame) -> None:
    counts = shop.frame("select domain, reason, sum(rows) as rows from marts.mart_data_quality group by all")
    found = {(row.domain, row.reason): int(row.rows) for row in counts.itertuples() if row.rows}
    assert found == log.groupby(["domain", "reason"]).size().to_dict() == COUNTS
    assert sum(found.values()) == LINES


def test_the_quarantine_holds_every_rejected_line_as_it_stands_in_the_file(
    shop: Cleaned, log: pd.DataFrame
) -> None:
    columns = ["domain", "source_line", "raw_line", "reason"]
    found = shop.frame(f"select {', '.join(columns)} from marts.quarantine where kind = 'events' order by 2")
    expected = log.loc[log.reason != "kept", columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_interactions_are_the_kept_purchases(shop: Cleaned, log: pd.DataFrame) -> None:
    found = shop.frame(
        "select domain, strftime(window_start, '%Y-%m-%d') as window, user_id, item_id, "
        "cast(events as bigint) as events, weight, event_time as moment "
        "from marts.fct_interactions order by 1, 2, 3, 4"
    )
    kept = log[(log.reason == "kept") & ~log.cancels]
    expected = (
        kept.groupby(["domain", "window", "user_id", "item_id"])
        .agg(events=("source_line", "size"), moment=("moment", "max"))
        .reset_index()
        .assign(weight=1.0)
    )
    assert len(found) == len(expected) > 0
    pd.testing.assert_frame_equal(found, expected[found.columns], check_dtype=False)


def test_cancellations_take_the_purchase_that_a_stack_gives_them(shop: Cleaned, log: pd.DataFrame) -> None:
    found = shop.frame(
        "select source_line, outcome, coalesce(purchase_line, 0) as purchase_line, takes_back "
        "from marts.fct_cancellations order by source_line"
    )
    expected = cancellations(log).sort_values("source_line", ignore_index=True)
    assert expected.outcome.value_counts().to_dict() == OUTCOMES
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_both_markets_have_one_assortment_and_their_own_customers(shop: Cleaned, log: pd.DataFrame) -> None:
    items = shop.frame("select item_id, count(*) as domains from marts.dim_items group by 1")
    assert (items.domains == 2).all()
    purchases = log[(log.reason == "kept") & ~log.cancels]
    customers = purchases.groupby("domain").user_id.agg(set)
    shared = shop.frame("select user_id from marts.dim_users where domains = 2").user_id
    # The extract ends within its last line, which makes a country of "Unit".
    assert set(shared) == set.intersection(*customers) == {log.user_id.iloc[-1]}
    assert log.Country.iloc[-1] == "Unit"
