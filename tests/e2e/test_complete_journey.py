"""Complete Journey: the departments of one file as domains, line by line equal to a reference in pandas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from example_run import Cleaned, cleaned, differing_lines, example_config

pytestmark = pytest.mark.slow
LINES = 75_000
DEPARTMENTS = {
    "GROCERY": "grocery",
    "DRUG GM": "drugstore",
    "PRODUCE": "produce",
    "MEAT": "meat",
    "MEAT-PCKGD": "meat",
    "DELI": "deli",
}


@pytest.fixture(scope="module")
def grocer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cleaned]:
    with cleaned(example_config("complete_journey"), tmp_path_factory.mktemp("complete_journey")) as made:
        yield made


@pytest.fixture(scope="module")
def products(grocer: Cleaned) -> pd.DataFrame:
    path = grocer.config.resolve(grocer.config.domains["grocery"].items.path)
    products = pd.read_csv(path, dtype=str, keep_default_na=False)
    listed = products.department.isin(DEPARTMENTS) & (products.category != "COUPON/MISC ITEMS")
    return products[listed].assign(domain=products.department.map(DEPARTMENTS))


@pytest.fixture(scope="module")
def till(grocer: Cleaned, products: pd.DataFrame) -> pd.DataFrame:
    """The file with a verdict for each line; `domain` is null for departments that are none."""
    path = grocer.config.resolve(grocer.config.domains["grocery"].events.path)
    till = pd.read_csv(path, dtype=str, keep_default_na=False)
    till["source_line"] = np.arange(2, len(till) + 2)
    till["domain"] = till.department.map(DEPARTMENTS)
    moment = pd.to_datetime(till.timestamp.astype(int), unit="s", utc=True)
    window = moment.dt.strftime("%Y-%m")
    fields = ["user_id", "item_id", "basket", "qty", "sales", "week", "timestamp", "department"]
    known = pd.MultiIndex.from_frame(products[["domain", "item_id"]])
    till["reason"] = np.select(
        [
            till.user_id == "",
            till.item_id == "",
            moment < "2017-01-01T00:00Z",
            moment >= "2018-01-01T00:00Z",
            till.sales.astype(float) < 0,
            till.sales.astype(float) == 0,
            till.assign(window=window).duplicated([*fields, "window"]),
            ~pd.MultiIndex.from_frame(till[["domain", "item_id"]]).isin(known),
        ],
        [
            "missing_user", "missing_item", "before_calendar", "future_time", "negative_value", "zero_value",
            "duplicate", "orphan_item",
        ],
        default="kept",
    )  # fmt: skip
    return till


def test_every_line_of_every_department_has_the_verdict_of_the_reference(
    grocer: Cleaned, till: pd.DataFrame
) -> None:
    verdicts, expected = grocer.verdicts(), till[till.domain.notna()]
    assert sorted(verdicts.domain.unique()) == grocer.config.domain_names
    assert verdicts.source_line.is_unique
    assert differing_lines(verdicts, expected[["domain", "source_line", "reason"]]) == []
    assert len(verdicts) + till.domain.isna().sum() == len(till) == LINES


def test_the_counts_by_domain_and_reason_are_those_of_the_reference(
    grocer: Cleaned, till: pd.DataFrame
) -> None:
    counts = grocer.frame(
        "select domain, reason, sum(rows) as rows from marts.mart_data_quality group by 1, 2"
    )
    found = {(row.domain, row.reason): int(row.rows) for row in counts.itertuples() if row.rows}
    assert found == till.groupby(["domain", "reason"]).size().to_dict()


def test_each_department_has_its_catalogue(grocer: Cleaned, products: pd.DataFrame) -> None:
    counts = grocer.frame("select domain, count(*) as items from marts.dim_items group by 1")
    assert dict(counts.itertuples(index=False)) == products.groupby("domain").item_id.nunique().to_dict()


def test_households_shop_in_several_departments(grocer: Cleaned, till: pd.DataFrame) -> None:
    found = grocer.frame("select domains, count(*) as users from marts.dim_users group by 1 order by 1")
    kept = till[(till.reason == "kept") & till.domain.notna()]
    expected = kept.groupby("user_id").domain.nunique().value_counts().sort_index()
    assert dict(found.itertuples(index=False)) == expected.to_dict()
    assert expected[len(grocer.config.domains)] > 0
