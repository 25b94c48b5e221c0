"""fct_cancellations against a stack that is pushed and popped line by line, over random logs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from rendered import sql_of

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
CANCELS = {"cancel": "purchase", "return": "purchase", "give_back": "rent"}
WEIGHTS = {"view": 1.0, "purchase": 4.0, "rent": 2.0, "dislike": -2.0}
COLUMNS = """domain varchar, window_start date, source_file varchar, source_line bigint, user_id varchar,
    item_id varchar, event_time timestamptz, event_type varchar, weight double, quantity double,
    cancels varchar, reason varchar"""


@dataclass(frozen=True)
class Line:
    """A kept line; its number in the file is its place in the log."""

    number: int
    user: str
    item: str
    time: datetime
    event: str
    quantity: float | None

    @property
    def window(self) -> date:
        return self.time.date()

    @property
    def row(self) -> tuple[object, ...]:
        weight = 0.0 if self.event in CANCELS else WEIGHTS[self.event]
        where = ("a", self.window, "log.csv", self.number, self.user, self.item, self.time)
        return (*where, self.event, weight, self.quantity, CANCELS.get(self.event), None)


@st.composite
def logs(draw: st.DrawFn) -> list[Line]:
    """Few users, items and moments, so that lines meet; three hours of each of four days."""
    fields = st.tuples(
        st.sampled_from("uv"),
        st.sampled_from("ij"),
        st.integers(0, 11),
        st.sampled_from([*CANCELS, *WEIGHTS, "purchase", "purchase", "cancel"]),
        st.sampled_from([None, 1.0, 2.0]),
    )
    return [
        Line(number, user, item, FIRST + timedelta(days=moment // 3, hours=moment % 3), event, quantity)
        for number, (user, item, moment, event, quantity) in enumerate(draw(st.lists(fields, max_size=60)))
    ]


def interest(lines: list[Line], taken: set[int], of: Line) -> float:
    """The strongest positive event of the window of a purchase that no cancellation has taken yet."""
    together = (of.user, of.item, of.window)
    same = [x for x in lines if (x.user, x.item, x.window) == together and x.number not in taken]
    return max((WEIGHTS[x.event] for x in same if WEIGHTS.get(x.event, 0) > 0), default=0.0)


def simulated(lines: list[Line]) -> dict[int, tuple[str, int | None, float]]:
    """Cancelling line -> (outcome, line of its purchase, what the purchase's window loses)."""
    stacks: dict[tuple[str, str, str], list[Line]] = defaultdict(list)
    taken: set[int] = set()
    found: dict[int, tuple[str, int | None, float]] = {}
    for line in sorted(lines, key=lambda x: (x.time, x.event in CANCELS, x.number)):
        stack = stacks[line.user, line.item, CANCELS.get(line.event, line.event)]
        if line.event not in CANCELS:
            stack.append(line)
        elif not stack:
            found[line.number] = ("unmatched", None, 0.0)
        else:
            purchase = stack.pop()
            known = line.quantity is not None and purchase.quantity is not None
            if known and line.quantity < purchase.quantity:
                found[line.number] = ("partial", purchase.number, 0.0)
                continue
            before = interest(lines, taken, purchase)
            taken.add(purchase.number)
            loss = interest(lines, taken, purchase) - before
            found[line.number] = ("complete", purchase.number, loss)
    return found


@pytest.fixture(scope="module")
def marts() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"create table int_event_verdicts ({COLUMNS})")
    for model in ("int_cancellation_matches", "fct_cancellations"):
        connection.execute(f"create view {model} as {sql_of(model)}")
    yield connection
    connection.close()


@seed(0)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=logs())
def test_the_models_do_what_a_stack_does(marts: duckdb.DuckDBPyConnection, lines: list[Line]) -> None:
    marts.execute("delete from int_event_verdicts")
    if lines:
        places = ", ".join("?" * len(lines[0].row))
        marts.executemany(f"insert into int_event_verdicts values ({places})", [x.row for x in lines])
    query = "select source_line, outcome, purchase_line, takes_back from fct_cancellations"
    rows = marts.execute(query).fetchall()
    assert {line: tuple(rest) for line, *rest in rows} == simulated(lines)
    assert len(rows) == sum(line.event in CANCELS for line in lines)
