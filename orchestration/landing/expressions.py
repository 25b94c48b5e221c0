"""What a mapping may say in place of a column: one SQL expression over the columns of the file.

The text is parsed by DuckDB and bound to the file's columns before anything runs, so that a fault is told
by the check of the configuration and not by a load that stops. Where the expression fails it gives NULL.

TRY alone does not hold failures inside (DuckDB 2.0): common subexpressions, and long lists of constants, are
computed before it. CASE around it stops the one, a last element that is no constant the other.
"""

from __future__ import annotations

import atexit
import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import duckdb

from orchestration.landing.quoting import identifier

TEXT = "VARCHAR"
_Node = dict[str, Any]
_BARE_NAME = re.compile(r"[^\W\d]\w*")
_BEFORE = "select ("  # what stands before the text when DuckDB parses it: its locations count from there
_SCALAR = {"COLUMN_REF", "CONSTANT", "COMPARISON", "BETWEEN", "OPERATOR", "FUNCTION", "CAST", "TYPE", "CASE"}
_SCALAR |= {"CONJUNCTION", "COLLATE"}
_ORDERING = {"COMPARE_LESSTHAN", "COMPARE_GREATERTHAN", "COMPARE_LESSTHANOREQUALTO"}
_ORDERING |= {"COMPARE_GREATERTHANOREQUALTO", "COMPARE_BETWEEN", "COMPARE_NOT_BETWEEN"}
_ARITHMETIC = {"+", "-", "*", "/", "//", "%", "**", "^"}
_NUMBERS = {f"{sign}{size}INT" for sign in ("", "U") for size in ("", "TINY", "SMALL", "BIG", "HUGE")}
_NUMBERS |= {"INTEGER", "UINTEGER", "DECIMAL", "NUMERIC", "REAL", "FLOAT", "DOUBLE"}
_CAST_ADVICE = "; text and numbers do not mix: say what it is, e.g. cast(x as double) or cast(x as timestamp)"


class ExpressionError(Exception):
    """A mapping that a file cannot fulfil; the message goes on from the file's name."""


@dataclass(frozen=True)
class Resolved:
    """A mapping resolved for one file.

    sql: SQL over the columns c0, c1, ... and `error` of the file's rows; the expression is not tried where
    `error` is set. type: DuckDB's. places: which columns it uses.
    """

    sql: str
    type: str
    places: tuple[int, ...]
    is_column: bool


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set TimeZone = 'UTC'")
    # A connection that outlives the interpreter makes DuckDB list everything it holds as leaked.
    atexit.register(_duckdb.cache_clear)
    return connection


@cache
def _functions() -> dict[str, list[tuple[str, str, list[str], str]]]:
    """name -> (kind, stability, types of the parameters, type of the result) of each variant."""
    query = (
        "select function_name, function_type, stability, parameter_types, return_type from duckdb_functions()"
    )
    found: dict[str, list[tuple[str, str, list[str], str]]] = {}
    for name, kind, stability, parameters, result in _duckdb().cursor().execute(query).fetchall():
        found.setdefault(name.lower(), []).append((kind, stability, parameters, result))
    return found


def _parsed(sql: str) -> _Node:
    text = _duckdb().cursor().execute("select json_serialize_sql(?)", [sql]).fetchall()[0][0]
    parsed = json.loads(text)
    if parsed["error"]:
        raise ExpressionError(f"is neither a column nor a SQL expression: {parsed['error_message']}")
    if len(parsed["statements"]) != 1:
        raise ExpressionError("is more than one statement; expected one expression, without a semicolon")
    node: _Node = parsed["statements"][0]["node"]
    return node


@lru_cache(4096)
def _tree(text: str) -> _Node:
    """The syntax tree of an expression; ExpressionError where the text is anything else."""
    node, plain = _parsed(f"{_BEFORE}{text}\n)"), _parsed(f"{_BEFORE}1\n)")
    chosen = node.pop("select_list", [])
    plain.pop("select_list")
    if node != plain or len(chosen) != 1 or chosen[0]["alias"]:
        raise ExpressionError("is no single expression; expected one value for each line, and no query")
    tree: _Node = chosen[0]
    for part in _nodes(tree):
        _refuse(part)
    return tree


def _refuse(node: _Node) -> None:
    """ExpressionError for what does not follow from the line alone."""
    if node["class"] not in _SCALAR:
        kind = node["class"].lower().replace("_", " ")
        raise ExpressionError(f"holds a {kind}; expected one value for each line, from its columns")
    if node["class"] == "FUNCTION":
        name = node["function_name"].lower()
        kinds = _functions().get(name, [])
        if kinds and not any(kind in ("scalar", "macro") for kind, *_ in kinds):
            raise ExpressionError(f"calls {name}, which is no function of one line")
        if any(stability not in (None, "CONSISTENT") for _, stability, *_ in kinds):
            raise ExpressionError(
                f"calls {name}, which can differ from run to run; a line must always say the same"
            )


def _nodes(part: Any) -> Iterator[_Node]:
    """Every node of a syntax tree, outermost first."""
    if isinstance(part, dict):
        if "class" in part:
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _nodes(inner)


def names_in(text: str) -> list[str]:
    """The columns that a mapping may mean, where the file itself cannot tell (it has no header, no key)."""
    try:
        refs = [".".join(n["column_names"]) for n in _nodes(_tree(text)) if n["class"] == "COLUMN_REF"]
    except ExpressionError:
        return [text]
    return list(dict.fromkeys(refs)) or [text]


def _arguments(node: _Node) -> list[_Node]:
    return [argument["expression"] for argument in node["arguments"]]


def _is_number(node: _Node) -> bool:
    """Whether a part of an expression is a number whatever the columns hold."""
    if node["class"] == "CONSTANT":
        return node["literal"]["kind"] in ("INTEGER", "NUMERIC")
    if node["class"] == "CAST":
        return str(node["type_expr"].get("type_name", "")).upper() in _NUMBERS
    if node["class"] != "FUNCTION":
        return False
    if node["function_name"] in _ARITHMETIC:
        return all(part["class"] == "COLUMN_REF" or _is_number(part) for part in _arguments(node))
    variants = _functions().get(node["function_name"].lower(), [])
    return bool(variants) and all(result in _NUMBERS for *_, result in variants)


def _compared(node: _Node) -> list[_Node]:
    if node["class"] == "COMPARISON":
        return [node["left"], node["right"]]
    if node["class"] == "BETWEEN":
        return [node["input"], node["lower"], node["upper"]]
    if node["class"] == "OPERATOR" and node["type"] in ("COMPARE_IN", "COMPARE_NOT_IN"):
        return list(node["children"])
    return []


def _number_places(node: _Node) -> list[_Node]:
    """The direct parts of a node that stand where a number is expected.

    Those compared with a number, operands of arithmetic, and arguments that are numbers in every variant of
    a function (abs, round, ...).
    """
    compared = _compared(node)
    if any(_is_number(part) for part in compared):
        return compared
    if node["class"] != "FUNCTION":
        return []
    parts = _arguments(node)
    if node["function_name"] in _ARITHMETIC:
        return parts
    variants = [v for v in _functions().get(node["function_name"].lower(), []) if len(v[2]) == len(parts)]
    return [
        part
        for place, part in enumerate(parts)
        if variants and all(types[place] in _NUMBERS for _, _, types, _ in variants)
    ]


def _place(written: Sequence[str], names: Sequence[str], text: str) -> int:
    """Which column a reference means: exact first, else the only one that differs in case alone."""
    name = ".".join(written)
    for candidate in dict.fromkeys((name, written[0])):
        if candidate in names:
            return names.index(candidate)
        alike = [place for place, other in enumerate(names) if other.lower() == candidate.lower()]
        if len(alike) == 1:
            return alike[0]
    raise no_column(name, names, text)


def alike(name: str, names: Sequence[str]) -> list[str]:
    """The column that somebody may have meant by `name`, [] where none looks like it."""
    same = [other for other in names if other.lower() == name.lower()]
    return same[:1] or difflib.get_close_matches(name, names, n=1)


def no_column(name: str, names: Sequence[str], text: str) -> ExpressionError:
    """The error for a column that is not there; text: the mapping that names it."""
    near = alike(name, names)
    told = f"; did you mean {near[0]!r}?" if near else ""
    inside = "" if name == text else f" for {text!r}"
    return ExpressionError(f"has no column {name!r}{inside}; its columns are {', '.join(names)}{told}")


def _check_ordering(node: _Node, is_text: dict[int, bool]) -> None:
    parts = _compared(node) if node["type"] in _ORDERING else []
    if parts and all(is_text.get(part["query_location"]) and part["class"] == "COLUMN_REF" for part in parts):
        raise ExpressionError(
            "orders two columns of text; say as what, e.g. cast(x as double) < cast(y as double)"
        )


def _spliced(text: str, names: Sequence[str], types: Sequence[str]) -> tuple[str, list[int]]:
    """The expression over c0, c1, ..., and the places of the columns it uses."""
    tree = _tree(text)
    refs = {n["query_location"]: n for n in _nodes(tree) if n["class"] == "COLUMN_REF"}
    places = {at: _place(ref["column_names"], names, text) for at, ref in refs.items()}
    is_text = {at: types[place] == TEXT for at, place in places.items()}
    numbers: set[int] = set()
    edits: dict[int, tuple[int, str]] = {}
    for node in _nodes(tree):
        _check_ordering(node, is_text)
        numbers |= {part["query_location"] for part in _number_places(node) if part["class"] == "COLUMN_REF"}
        last = _compared(node)[-1] if node["class"] == "OPERATOR" and _compared(node) else None
        if last is not None and last["class"] == "CONSTANT":
            at, length = last["query_location"], last["query_location_length"]
            constant = text.encode()[at - len(_BEFORE) :][:length].decode()
            edits[at] = (length, f"(case when error is null then {constant} end)")
    for at, ref in refs.items():
        column = f"c{places[at]}"
        if at in numbers and is_text[at]:
            # An empty field is a missing number; any other text fails, and with it the expression.
            column = f"cast(nullif({column}, '') as double)"
        elif len(ref["column_names"]) > 1 and names[places[at]] == ref["column_names"][0]:
            column += "".join(f".{identifier(field)}" for field in ref["column_names"][1:])
        edits[at] = (ref["query_location_length"], column)
    sql = text.encode()
    for at, (length, new) in sorted(edits.items(), reverse=True):
        start = at - len(_BEFORE)
        sql = sql[:start] + new.encode() + sql[start + length :]
    return sql.decode(), sorted(set(places.values()))


def _bound_type(sql: str, places: Sequence[int], types: Sequence[str]) -> str:
    """The type DuckDB gives the expression; ExpressionError where it cannot bind or takes many lines."""
    row = ", ".join(f"cast(null as {types[place]}) as c{place}" for place in places) or "0 as none"
    query = f"select {sql} as value from (select {row}, cast(null as varchar) as error where false)"
    try:
        cursor = _duckdb().cursor().execute(query)
        found, rows = str(cursor.description[0][1]), cursor.fetchall()
    except duckdb.Error as error:
        told = re.sub(r"^[\w ]*Error: ", "", str(error).splitlines()[0])
        advice = _CAST_ADVICE if re.search("cast|No function matches", told) else ""
        raise ExpressionError(f"cannot be computed: {told}{advice}") from None
    if rows:  # of no lines: they were added up
        raise ExpressionError("adds lines up; expected one value for each line")
    return found


@lru_cache(4096)
def resolve(text: str, names: tuple[str, ...], types: tuple[str, ...]) -> Resolved:
    """A mapping over a file with these columns: the column of that name, or else an expression.

    types: DuckDB's, VARCHAR for every column of a text file. ExpressionError where neither is possible.
    """
    if text in names:
        place = names.index(text)
        return Resolved(f"c{place}", types[place], (place,), True)
    if _BARE_NAME.fullmatch(text):
        raise no_column(text, names, text)
    try:
        spliced, places = _spliced(text, names, types)
        sql = f"case when error is null then try({spliced}\n) end"
        kind = _bound_type(sql, places, types)
        if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
            raise ExpressionError(f"gives a {kind}; expected one value, e.g. by array_to_string(x, ', ')")
    except ExpressionError as error:
        if str(error).startswith("has no column"):
            raise
        told = f"; its columns are {', '.join(names)}" if "neither" in str(error) else ""
        raise ExpressionError(f"cannot give {text!r}: it {error}{told}") from None
    return Resolved(sql, kind, tuple(places), False)


def condition(text: str, names: tuple[str, ...], types: tuple[str, ...]) -> Resolved:
    """`resolve` for a `where`; ExpressionError where it is neither true nor false."""
    found = resolve(text, names, types)
    if found.type != "BOOLEAN":
        raise ExpressionError(
            f"cannot give {text!r}: expected a condition, such as x = 'y', not {found.type}"
        )
    return found
