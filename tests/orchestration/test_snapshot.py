"""The training snapshot: net weights before a moment, nothing after it, its rules, the same digest always."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from ml.snapshot_files import ITEMS_SCHEMA
from orchestration.config import Core, Home, SnapshotRules, as_of_time
from orchestration.defs.snapshot import (
    draw,
    left_out,
    manifest_of,
    net_interactions,
    point_to,
    snapshot_of,
    snapshot_path,
)

LAST = date(2026, 1, 4)
# Of ROWS as of LAST by the code before there were rules: written down so that no rule stays no change.
DIGEST_WITHOUT_RULES = "60172163629a2648edf076560f821a9f2db7a3e848baa6a4057998bb88406603"


def at(day: int, hour: int = 9) -> datetime:
    return datetime(2026, 1, day, hour, tzinfo=UTC)


ROWS = [
    # domain, window_start, user, item, event_time, weight
    ("a", date(2026, 1, 1), "u1", "i1", at(1), 4.0),
    ("a", date(2026, 1, 2), "u1", "i1", at(2), 1.0),
    ("a", date(2026, 1, 1), "u2", "i1", at(1), 4.0),
    ("a", date(2026, 1, 2), "u2", "i1", at(2), -4.0),  # a dislike
    ("a", date(2026, 1, 2), "u3", "i1", at(3, 0), 1.0),  # a dated file's late line
    ("b", date(2026, 1, 3), "u1", "j1", at(3), 2.0),
]


@pytest.fixture
def mart(connection, tmp_path, monkeypatch: pytest.MonkeyPatch):
    """The marts that a snapshot reads, and a home of its own."""
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    connection.execute("create schema marts")
    connection.execute(
        "create table marts.fct_interactions (domain varchar, window_start date, user_id varchar, "
        "item_id varchar, event_time timestamptz, weight double)"
    )
    connection.executemany("insert into marts.fct_interactions values (?, ?, ?, ?, ?, ?)", ROWS)
    connection.execute(
        "create table marts.dim_items (domain varchar, item_id varchar, available boolean, "
        "category varchar, regions varchar[])"
    )
    connection.execute(
        "create table marts.fct_cancellations (domain varchar, purchase_window date, user_id varchar, "
        "item_id varchar, event_time timestamptz, takes_back double)"
    )
    names = ("domain", "user_id", "attribute", "value")
    connection.execute(f"create table marts.user_attributes ({' varchar, '.join(names)} varchar)")
    return connection


def catalogue(*more: str) -> pa.Table:
    """The items of ROWS, and one item of each domain of `more`."""
    rows = [("a", "i1", "Tides", None), ("b", "j1", None, None), *((d, "k1", None, None) for d in more)]
    return pa.table(dict(zip(ITEMS_SCHEMA.names, zip(*rows, strict=True), strict=True)), ITEMS_SCHEMA)


def drawn(mart, day: date, rules: SnapshotRules, *more: str) -> Path:
    return draw(mart, day, rules, catalogue(*more))


def cancel(
    mart, user: str, window: date | None, when: datetime, takes_back: float, domain: str = "a"
) -> None:
    item = "i1" if domain == "a" else "j1"
    row = [domain, window, user, item, when, takes_back]
    mart.execute("insert into marts.fct_cancellations values (?, ?, ?, ?, ?, ?)", row)


def weights(mart, day: date = LAST, half_life_days: float | None = None) -> dict[tuple[str, str], float]:
    rows = net_interactions(mart, day, half_life_days).to_pylist()
    return {(row["domain"], row["user_id"]): row["weight"] for row in rows}


@pytest.mark.parametrize(
    "day,expected",
    [
        (1, {}),
        (2, {("a", "u1"): 4.0, ("a", "u2"): 4.0}),
        (3, {("a", "u1"): 5.0}),
        (4, {("a", "u1"): 5.0, ("a", "u3"): 1.0, ("b", "u1"): 2.0}),
    ],
)
def test_net_weights_before_a_moment(mart, day: int, expected: dict) -> None:
    moment = date(2026, 1, day)
    assert weights(mart, moment) == expected
    assert all(row["event_time"] < at(day, 0) for row in net_interactions(mart, moment).to_pylist())


def test_a_cancellation_is_seen_from_its_own_moment_on(mart) -> None:
    """u1 takes back the purchase of the first day on the third; a view of the second day stands."""
    cancel(mart, "u1", date(2026, 1, 1), at(3), -4.0)
    assert weights(mart, date(2026, 1, 2))["a", "u1"] == 4.0
    assert weights(mart, date(2026, 1, 3))["a", "u1"] == 5.0
    assert weights(mart, date(2026, 1, 4))["a", "u1"] == 1.0


def test_a_cancellation_at_the_moment_itself_or_after_it_is_not_seen(mart) -> None:
    before = drawn(mart, date(2026, 1, 3), SnapshotRules())
    cancel(mart, "u1", date(2026, 1, 1), at(3, 0), -4.0)
    cancel(mart, "u1", date(2026, 1, 2), at(3, 9), -1.0)
    assert drawn(mart, date(2026, 1, 3), SnapshotRules()) == before
    assert ("a", "u1") not in weights(mart)


def test_a_cancellation_of_nothing_or_of_a_row_that_waits_takes_nothing(mart) -> None:
    """An unmatched one; and one of a window whose interaction has a later event than as-of."""
    cancel(mart, "u1", None, at(2), 0.0)
    mart.execute(
        "insert into marts.fct_interactions values ('a', '2026-01-02', 'u2', 'i1', ?, 4.0)", [at(4, 0)]
    )
    mart.execute("insert into marts.fct_interactions values ('a', '2026-01-03', 'u2', 'i1', ?, 2.0)", [at(3)])
    cancel(mart, "u2", date(2026, 1, 2), at(3), -4.0)
    mart.execute("delete from marts.fct_interactions where weight = -4")
    assert weights(mart) == {("a", "u1"): 5.0, ("a", "u2"): 6.0, ("a", "u3"): 1.0, ("b", "u1"): 2.0}


@pytest.mark.parametrize("half_life_days", [None, 0.3, 2.0, 1000.0])
def test_what_is_cancelled_is_worth_nothing_at_any_age(mart, half_life_days) -> None:
    """Also when it took two cancellations with weights that binary fractions do not hold exactly."""
    mart.execute("update marts.fct_interactions set weight = 0.3 where user_id = 'u1' and domain = 'a'")
    for window in (date(2026, 1, 1), date(2026, 1, 2)):
        cancel(mart, "u1", window, at(2), 0.1 - 0.3)
        cancel(mart, "u1", window, at(3), -0.1)
    assert ("a", "u1") not in weights(mart, LAST, half_life_days)


def test_an_interaction_counts_half_after_each_half_life(mart) -> None:
    """As of the fourth: the first day is three days old, the second two, the third one."""
    found = weights(mart, LAST, half_life_days=1.0)
    assert found == {("a", "u1"): 4 / 8 + 1 / 4, ("a", "u3"): 1 / 4, ("b", "u1"): 2 / 2}
    assert weights(mart, LAST, half_life_days=2.0)["b", "u1"] == pytest.approx(2 / 2**0.5, rel=1e-6)
    cancel(mart, "u1", date(2026, 1, 1), at(3), -3.0)
    assert weights(mart, LAST, half_life_days=1.0)["a", "u1"] == 1 / 8 + 1 / 4


def test_the_oldest_interaction_fades_but_does_not_vanish(mart) -> None:
    found = weights(mart, date(2036, 1, 1), half_life_days=0.01)
    assert set(found) == set(weights(mart, date(2036, 1, 1)))
    assert min(found.values()) > 0


def test_rules_change_the_digest_and_stand_in_the_manifest(mart) -> None:
    chosen = [
        SnapshotRules(),
        SnapshotRules(half_life_days=30),
        SnapshotRules(k_core=Core(users=1, items=1)),
        SnapshotRules(k_core=Core(users=2, items=1)),
        SnapshotRules(half_life_days=30, k_core=Core(users=2, items=1)),
    ]
    paths = [drawn(mart, LAST, rules) for rules in chosen]
    assert paths == [drawn(mart, LAST, rules) for rules in chosen]
    assert len(set(paths)) == len(chosen)
    assert [manifest_of(path).get("rules") for path in paths[:3]] == [
        None,
        {"half_life_days": 30},
        {"k_core": {"users": 1, "items": 1}, "left_out": {}},
    ]


def test_without_rules_and_cancellations_a_snapshot_is_what_it_was_before_there_were_any(mart) -> None:
    manifest = manifest_of(drawn(mart, LAST, SnapshotRules()))
    assert manifest == {
        "as_of": as_of_time(LAST),
        "digest": DIGEST_WITHOUT_RULES,
        "interactions": 3,
        "items": 2,
    }


def test_the_core_is_counted_in_the_manifest_and_other_domains_stay(mart) -> None:
    path = drawn(mart, LAST, SnapshotRules(k_core=Core(users=1, items=2)))
    assert left_out(manifest_of(path)) == {"b/interactions": 1, "b/users": 1, "b/items": 1}
    point_to(str(LAST), path)
    snapshot = snapshot_of(str(LAST))
    assert snapshot.domains == ["a", "b"]
    assert [len(snapshot.interactions[d]) for d in ("a", "b")] == [2, 0]
    assert len(snapshot.catalogues["b"]) == 1


def test_the_same_rows_have_the_same_snapshot(mart) -> None:
    path = drawn(mart, LAST, SnapshotRules())
    assert drawn(mart, LAST, SnapshotRules()) == path
    other = drawn(mart, LAST, SnapshotRules(), "c")
    assert other != path
    point_to(str(LAST), other)
    assert snapshot_path(str(LAST)) == other
    assert snapshot_of(str(LAST)).domains == ["a", "b", "c"]


def test_an_as_of_that_was_never_materialised_says_what_to_do(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="materialise training_snapshot"):
        snapshot_of("2026-01-02")


@pytest.mark.parametrize("items,passed", [(1, True), (2, False)])
def test_the_asset_tells_what_a_core_left_out_and_warns(
    mart, monkeypatch: pytest.MonkeyPatch, items: int, passed: bool
) -> None:
    from orchestration.defs import snapshot as module
    from orchestration.resources.warehouse import Warehouse

    copy_to(mart, Home().warehouse)
    rules = SnapshotRules(k_core=Core(users=1, items=items))
    monkeypatch.setattr(module, "CONFIG", module.CONFIG.model_copy(update={"snapshot": rules}))
    monkeypatch.setattr(module, "catalogue_of", lambda home, domains: catalogue())
    checks = [module.nothing_at_or_after_as_of, module.nothing_left_out]
    result = dg.materialize(
        [module.training_snapshot, *checks], partition_key=str(LAST), resources={"warehouse": Warehouse()}
    )
    assert result.success
    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert found["nothing_at_or_after_as_of"].passed
    assert found["nothing_left_out"].passed == passed
    assert found["nothing_left_out"].severity == dg.AssetCheckSeverity.WARN
    (event,) = result.asset_materializations_for_node("training_snapshot")
    told = {name: value.value for name, value in event.metadata.items()}
    lost = {name: value for name, value in told.items() if name.startswith("left out/")}
    assert lost == (
        {} if passed else {f"left out/b/{what}": 1 for what in ("interactions", "users", "items")}
    )
    assert told["interactions/a"] == 2
    assert told["rules"] == f'{{"k_core": {{"users": 1, "items": {items}}}}}'


def test_interactions_with_items_that_were_not_read_stop_the_snapshot(mart) -> None:
    mart.execute(
        "insert into marts.fct_interactions values ('b', '2026-01-01', 'u1', 'new', ?, 1.0)", [at(1)]
    )
    with pytest.raises(dg.Failure, match=r"1 interactions .*'new' of b: materialise item_texts"):
        drawn(mart, LAST, SnapshotRules())


def copy_to(connection, path: Path) -> None:
    connection.execute(f"attach '{path}' as home")
    connection.execute("create schema home.marts")
    for table in ("fct_interactions", "fct_cancellations", "dim_items", "user_attributes"):
        connection.execute(f"create table home.marts.{table} as from marts.{table}")
    connection.execute("detach home")
