"""Expressions in place of columns: what they mean on text, what is refused; and no line can stop a load."""

from __future__ import annotations

import duckdb
import pytest

from orchestration.landing.expressions import ExpressionError, condition, resolve

NAMES = ("InvoiceNo", "Quantity", "Price", "InvoiceDate", "a b", "é", "id", "ID")
TEXTS = ("VARCHAR",) * len(NAMES)
GOOD = ("C1", "-5", "2.5", "12/1/10 8:26", "x", "7", "1", "2")


def value(text: str, row: tuple[str | None, ...] = GOOD) -> object:
    """What the expression gives for one line, among lines for which it may fail."""
    found = resolve(text, NAMES, TEXTS)
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    columns = ", ".join(f"c{place}" for place in range(len(NAMES)))
    bad = ("?",) * len(NAMES)
    rows = ", ".join(f"({at}, {', '.join('?' * len(NAMES))})" for at in range(3))
    query = f"""
        select {found.sql} as value from (
            select *, cast(null as varchar) as error from (values {rows}) as lines(place, {columns})
        ) order by place"""
    return connection.execute(query, [*bad, *row, *bad]).fetchall()[1][0]


@pytest.mark.parametrize(
    "text,expected",
    [
        ("Quantity", "-5"),
        ("a b", "x"),
        ("case when Quantity < 0 then 'cancel' else 'purchase' end", "cancel"),
        ("InvoiceNo || ''", "C1"),
        ("invoiceno LIKE 'C%'", True),
        ('id || "ID"', "12"),
        ("-Quantity * price", 12.5),
        ("abs(Quantity)", 5.0),
        ("Quantity > -10", True),  # as text '-5' comes after '-10' and before '9'
        ("Quantity < -10", False),
        ("Quantity between -10 and 0", True),
        ("Quantity in (-5.0, 3)", True),
        ("Quantity = -4.6", False),  # DuckDB would round the text to a whole number
        ("Quantity = '-5'", True),
        ("case \"é\" when 7 then 'seven' end", "seven"),
        ("cast(Quantity as int) < cast(Price as int)", True),
        ("strftime(strptime(InvoiceDate, '%m/%d/%y %H:%M'), '%Y-%m-%d')", "2010-12-01"),
        ("'purchase' -- always", "purchase"),
    ],
)
def test_what_an_expression_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "cast(Quantity as int) in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
        "case when cast(Quantity as int) = 1 then 'x' when cast(Quantity as int) = 2 then 'y' end",
        "cast(Quantity as int) + cast(Quantity as int)",
        "case when Quantity < 0 then 'cancel' else 'purchase' end",
        "strptime(Quantity, '%Y') > strptime(Quantity, '%m')",
    ],
)
def test_a_line_for_which_it_fails_gives_null(text: str) -> None:
    """Each of them stops the query when it stands in TRY alone, but for the last two."""
    assert value(text, ("soon",) * len(NAMES)) is None


def test_an_empty_field_is_a_missing_number() -> None:
    row = ("C1", "", *GOOD[2:])
    assert value("case when Quantity < 0 then 'cancel' else 'purchase' end", row) == "purchase"
    assert value("coalesce(Quantity * 1, 0)", row) == 0


@pytest.mark.parametrize(
    "text,told",
    [
        ("Quantty", "no column 'Quantty'; its columns are InvoiceNo, .*; did you mean 'Quantity'"),
        ("Quantty < 0", "no column 'Quantty' for 'Quantty < 0'"),
        ("iD || ''", "no column 'iD'"),  # two columns differ in case alone
        ('"C1"', "no column 'C1'"),
        ("Quantity <", "neither a column nor a SQL expression"),
        ("Quantity; drop table x", "neither a column nor a SQL expression"),
        ("1); select (2", "more than one statement"),
        ("1), (2", "no single expression"),
        ("1) from read_csv('/etc/passwd') where (true", "no single expression"),
        ("(select 1)", "holds a subquery"),
        ("exists (from read_text('/etc/passwd'))", "holds a subquery"),
        ("read_text('/etc/passwd')", "no function of one line"),
        ("count(*)", "no function of one line"),
        ("max(Price)", "no function of one line"),
        ("geomean(Price)", "aggregates are not allowed"),
        ("row_number() over ()", "holds a window"),
        ("random()", "differ from run to run"),
        ("now()", "differ from run to run"),
        ("current_setting('home_directory')", "differ from run to run"),
        ("getenv('HOME')", "getenv does not exist"),
        ("list_transform([1], lambda x: x)[1]", "holds a lambda"),
        ("*", "holds a star"),
        ("?", "holds a parameter"),
        ("Quantity < Price", "orders two columns of text"),
        ("InvoiceDate > date '2020-01-01'", r"cannot be computed.*cast\(x as timestamp\)"),
        ("strptime(InvoiceDate, '%Q')", "cannot be computed"),
        ("[Quantity]", r"gives a VARCHAR\[\]"),
    ],
)
def test_what_is_refused_and_why(text: str, told: str) -> None:
    with pytest.raises(ExpressionError, match=told):
        resolve(text, NAMES, TEXTS)


def test_columns_of_parquet_keep_their_types() -> None:
    names, types = ("n", "m", "at", "tags"), ("INTEGER", "INTEGER", "TIMESTAMP", "STRUCT(colour VARCHAR)")
    assert resolve("n < m", names, types).sql.count("double") == 0
    assert resolve("n * 2", names, types).type == "INTEGER"
    assert resolve("at", names, types).type == "TIMESTAMP"
    assert resolve("tags.colour", names, types).type == "VARCHAR"


def test_a_condition_is_true_or_false() -> None:
    assert condition("Quantity < 0", NAMES, TEXTS).type == "BOOLEAN"
    with pytest.raises(ExpressionError, match="expected a condition"):
        condition("Quantity", NAMES, TEXTS)
