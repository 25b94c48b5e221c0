"""A snapshot with what is known of its users: only where there is something, and of its users alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.sensitive import is_sensitive
from ml.snapshot_files import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, read_manifest, read_snapshot, write_snapshot
from ml.user_attributes import (
    FEWEST_HOLDERS,
    MOST_VALUES,
    USER_ATTRIBUTES_FILE,
    USER_ATTRIBUTES_SCHEMA,
    UserAttributes,
    one_hot,
)

# Of the two tables below by the code before there were user attributes.
DIGEST_WITHOUT = "5ffa17939e35c700efab2fb0fd14d0ae29ade9777f269d77b33fd246b0b65d8b"
USERS = [f"u{i}" for i in range(12)]
TIME, ONE = pa.timestamp("us", tz="UTC"), pa.float32()
ROWS = pa.table(
    [["a"] * 12, USERS, ["i"] * 12, pa.array(range(12), TIME), pa.array([1.0] * 12, ONE)],
    schema=INTERACTIONS_SCHEMA,
)
ITEMS = pa.table([["b", "a"], ["j", "i"], [None, "Quay"], [None, "h"]], schema=ITEMS_SCHEMA)
KNOWN = [
    *(("a", f"u{i}", "region", "north" if i < 6 else "south") for i in range(11)),
    *(("b", f"u{i}", "device", "phone") for i in range(5)),
    *(("a", f"u{i}", "plan", "gold") for i in range(FEWEST_HOLDERS - 1)),  # so rare that it names people
    ("a", "stranger", "region", "north"),
]


def table(rows: list[tuple[str, str, str, str]]) -> pa.Table:
    return pa.table(dict(zip(USER_ATTRIBUTES_SCHEMA.names, zip(*rows, strict=True), strict=True)))


def written(folder, rows=None):
    return write_snapshot(folder, ROWS, ITEMS, 100, attributes=None if rows is None else table(rows))


def test_without_attributes_a_snapshot_is_what_it_was(tmp_path) -> None:
    path = written(tmp_path)
    assert read_snapshot(path).digest == DIGEST_WITHOUT
    assert written(tmp_path, [("a", "stranger", "region", "north")]) == path
    assert all(log.attributes is None for log in read_snapshot(path).interactions.values())
    assert not (path / USER_ATTRIBUTES_FILE).exists()


def test_attributes_reach_their_users_and_rare_values_nobody(tmp_path) -> None:
    path = written(tmp_path, KNOWN)
    assert read_manifest(path)["user_attributes"] == len(KNOWN) - 1
    snapshot = read_snapshot(path)
    known = snapshot.interactions["a"].attributes
    assert known.names == (("region", "north"), ("region", "south"))
    north = np.isin(snapshot.users, USERS[:6])
    assert (known.held[:, [0]].toarray().ravel() > 0).tolist() == north.tolist()
    assert known.known.tolist() == (snapshot.users != "u11").tolist()
    assert snapshot.interactions["b"].attributes.names == (("device", "phone"),)
    assert written(tmp_path, KNOWN[::-1]) == path
    assert written(tmp_path, KNOWN[1:]) != path
    kept = snapshot.interactions["a"].of_users(north)
    assert kept.attributes.known.tolist() == north.tolist()
    assert kept.before(3).attributes is kept.attributes


def test_a_value_told_twice_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="one value per domain, user and attribute"):
        written(tmp_path, [*KNOWN, ("a", "u0", "region", "south")])


def test_free_text_keeps_its_most_frequent_values() -> None:
    rows = [("a", f"u{i}", "note", f"text {i // FEWEST_HOLDERS:04d}") for i in range(1500)]
    rows += [("a", f"v{i}", "note", "text 0299") for i in range(9)]
    found = one_hot(table(rows), np.arange(len(rows)), len(rows))
    assert len(found.names) == MOST_VALUES
    assert found.names[-1] == ("note", "text 0299")
    assert found.known.sum() == (MOST_VALUES - 1) * FEWEST_HOLDERS + FEWEST_HOLDERS + 9
    assert one_hot(table(rows[:3]), np.arange(3), 3) is None


@given(st.data())
def test_a_saved_model_gives_back_what_it_was_given(data) -> None:
    users = data.draw(st.integers(FEWEST_HOLDERS, 30))
    values = data.draw(st.lists(st.sampled_from(["x", "y=1", "é"]), min_size=users, max_size=users))
    found = one_hot(table([("a", str(i), "k", v) for i, v in enumerate(values)]), np.arange(users), users)
    if found is None:
        return
    again = UserAttributes.restore(found.arrays())
    assert again.names == found.names
    assert (again.held != found.held).nnz == 0
    assert found.only(["other"]) is None
    assert found.only(["k", "other"]) is found


@pytest.mark.parametrize("name", ["age", "age_band", "Gender", "customerGender", "user:age", "MARITAL"])
def test_names_that_say_they_are_sensitive(name: str) -> None:
    assert is_sensitive(name)


@pytest.mark.parametrize("name", ["region", "usage", "device", "package", "occupation", "language", ""])
def test_names_that_do_not(name: str) -> None:
    assert not is_sensitive(name)
