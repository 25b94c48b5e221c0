"""The domain_factors asset on a real snapshot: what it writes, what it shows, what it says when there is
nothing, and how one as-of follows from another.
"""

import base64
import datetime as dt
import json
import re

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file

from ml.snapshot_files import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, read_snapshot, write_snapshot
from orchestration.config import Home, as_of_time
from orchestration.defs import factorize as module
from orchestration.defs.factorize import domain_factors
from orchestration.defs.snapshot import snapshot_path, snapshot_pointer
from orchestration.factors.files import read_earlier
from orchestration.factors_config import Factors
from orchestration.partitions import AS_OF, CONFIG

FIRST, SECOND, THIRD = AS_OF.get_partition_keys()[:3]
FULL = CONFIG.domain_names[0]


def write(as_of, pairs, items=12):
    """Interactions (user, item) of domain FULL an hour before `as_of`; "silent" has an item and no
    interaction.
    """
    day = dt.date.fromisoformat(as_of)
    before = dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(hours=1)
    rows = [(FULL, f"u{u:02}", f"i{i:02}", before, 1.0) for u, i in pairs]
    catalogue = [(FULL, f"i{i:02}", f"title|{i}", "hash") for i in range(items)] + [
        ("silent", "x", None, None)
    ]
    tables = [
        pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in table], schema)
        for schema, table in ((INTERACTIONS_SCHEMA, rows), (ITEMS_SCHEMA, catalogue))
    ]
    path = write_snapshot(Home().snapshots, *tables, as_of_time(day))
    pointer = snapshot_pointer(as_of)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text(json.dumps({"snapshot": path.name}))


def two_tastes(users=20, items=12):
    return [(u, i) for u in range(users) for i in range(items) if u % 2 == i % 2 and u != i]


def three_tastes():
    return [(u, i) for u in range(20) for i in range(12) if u % 3 == i % 3 and u != i]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    write(FIRST, two_tastes())


@pytest.fixture
def settings(monkeypatch):
    """Set `factors:` of the configuration; returns the function that does it."""

    def use(**keys):
        changed = CONFIG.model_copy(update={"factors": Factors(**keys)})
        monkeypatch.setattr(module, "CONFIG", changed)

    return use


def run(domain=FULL, as_of=FIRST):
    key = dg.MultiPartitionKey({"as_of": as_of, "domain": domain})
    with dg.build_asset_context(partition_key=key) as context:
        return domain_factors(context)


def materialise(domain=FULL, as_of=FIRST):
    return run(domain, as_of).metadata


def check_of(result):
    (check,) = result.check_results
    return check


def test_writes_factors_and_shows_the_spectrum(home, settings):
    settings(smoothing=0)
    metadata = materialise()
    factors = load_file(Home().factors / FIRST / f"{FULL}.safetensors")
    assert factors["svd_u"].shape == factors["als_users"].shape == (20, 12)
    assert factors["svd_v"].shape == factors["als_items"].shape == (12, 12)
    # Two tastes that share nothing: degree normalisation gives each the singular value 1.
    np.testing.assert_allclose(factors["svd_s"][:2], 1, atol=1e-6)
    assert metadata["rank"] == 12
    assert metadata["explained_energy"] == pytest.approx(1)
    assert metadata["lost_energy"] == pytest.approx(0, abs=1e-6)
    picture = re.search(r"base64,([\w+/=]+)\)", metadata["spectrum"].value)
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG")


def test_top_items_set_both_ends_of_a_factor_against_each_other(home):
    from ml.factorize.svd import truncated_svd
    from orchestration.factors.shown import top_items

    # Fewer users of one taste: with equal singular values any mixture of the two would be right.
    write(SECOND, [(u, i) for u, i in two_tastes() if u % 2 == 0 or u < 10])
    read = read_snapshot(snapshot_path(SECOND))
    svd = truncated_svd(read.interactions[FULL].matrix(), 3)
    head, _, *rows = top_items(svd, read.catalogues[FULL]).splitlines()
    cells = [row.strip("| ").split(" | ") for row in rows]
    shares = [float(share) for share in re.findall(r"([\d.]+)%", head)]
    assert re.match(r"\| factor 1 \([\d.]+%\) \+ \|", head)
    assert shares[0] == pytest.approx(100 * svd.s[0] ** 2 / len(read.interactions[FULL]), abs=0.06)
    assert {cell.split("/")[0] for row in cells for cell in row if cell} == {
        "title"
    }  # no bar of a title is left
    # Even users hold even items only, so that the first factor names these and no other.
    assert {int(row[0].split("/")[1]) % 2 for row in cells if row[0]} == {0}


def test_a_domain_without_interactions_has_no_factors_to_show(home):
    from orchestration.factors.files import solve, weigh
    from orchestration.factors.shown import NOTHING, top_items

    read = read_snapshot(snapshot_path(FIRST))
    values, matrix = weigh(read.interactions["silent"], read.as_of, Factors())
    svd, origin = solve(matrix, read.catalogues["silent"].item_ids, None, Factors())
    assert (len(values), svd.s.tolist(), origin) == (0, [0], "solved")
    assert top_items(svd, read.catalogues["silent"]) == NOTHING


def test_a_domain_that_the_snapshot_lacks_is_named(home):
    with pytest.raises(dg.Failure, match=f"no items of {CONFIG.domain_names[1]}"):
        materialise(CONFIG.domain_names[1])


def test_two_runs_write_the_same_bytes(home):
    path = Home().factors / FIRST / f"{FULL}.safetensors"
    materialise()
    first = path.read_bytes()
    materialise()
    assert path.read_bytes() == first


def test_drift_needs_an_earlier_as_of(home):
    check = check_of(run())
    assert check.passed
    assert "no earlier as-of" in check.description


def test_the_same_tastes_a_window_later_have_not_turned(home, settings):
    settings(rank=2)
    write(SECOND, two_tastes(users=24, items=14), items=14)
    materialise()
    check = check_of(run(as_of=SECOND))
    assert check.passed
    assert check.metadata["turned"].value == pytest.approx(0, abs=0.01)
    assert check.metadata["shared_items"].value == 12
    assert f"as of {FIRST}" in check.description


def test_other_tastes_warn_and_say_what_to_do(home, settings):
    settings(rank=2, drift_limit=0.3)
    write(SECOND, three_tastes())
    materialise()
    check = check_of(run(as_of=SECOND))
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert 0.3 < check.metadata["turned"].value <= 1
    assert len(check.metadata["principal_angles"].value) == 2
    assert "Compare top_items" in check.description


def test_drift_is_against_the_last_as_of_before_and_never_a_later_one(home, settings):
    settings(rank=2)
    for as_of in (SECOND, THIRD):
        write(as_of, two_tastes())
        materialise(as_of=as_of)
    materialise()
    assert read_earlier(Home().factors, FIRST, FULL) is None
    assert read_earlier(Home().factors, THIRD, FULL).as_of == SECOND
    assert read_earlier(Home().factors, THIRD, "silent") is None


def test_factors_of_another_weighting_are_not_compared(home, settings):
    settings(normalise="bm25", rank=2)
    materialise()
    write(SECOND, two_tastes())
    settings(normalise="degree", rank=2, update="auto")
    result = run(as_of=SECOND)
    assert "another weighting" in check_of(result).description
    assert result.metadata["origin"] == "solved"


def test_factors_from_before_they_named_their_items_are_passed_over(home):
    path = Home().factors / FIRST / f"{FULL}.safetensors"
    path.parent.mkdir(parents=True)
    save_file({"svd_v": np.ones((2, 1), np.float32)}, path)
    assert read_earlier(Home().factors, SECOND, FULL) is None


def test_an_unreadable_file_of_an_earlier_as_of_is_named(home):
    path = Home().factors / FIRST / f"{FULL}.safetensors"
    materialise()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{FULL}.safetensors cannot be read.*as of {FIRST} again"):
        read_earlier(Home().factors, SECOND, FULL)


def test_update_auto_carries_on_and_agrees_with_a_solve(home, settings):
    write(SECOND, [*two_tastes(users=23, items=14), (0, 1)], items=14)
    settings(rank=2)
    materialise()
    assert materialise(as_of=SECOND)["origin"] == "solved"
    path = Home().factors / SECOND / f"{FULL}.safetensors"
    solved = load_file(path)
    settings(rank=2, update="auto")
    assert materialise(as_of=SECOND)["origin"] == f"updated from {FIRST}"
    updated = load_file(path)
    np.testing.assert_allclose(updated["svd_s"], solved["svd_s"], rtol=1e-4)
    np.testing.assert_allclose(updated["svd_v"], solved["svd_v"], atol=0.01)


def test_update_auto_solves_where_too_much_would_be_lost(home, settings):
    random = np.random.default_rng(0)
    write(SECOND, [(u, i) for u in range(200) for i in range(99) if random.random() < 0.1], items=99)
    settings(rank=2)
    materialise()
    settings(rank=2, update="auto", lost_limit=1e-9)
    assert materialise(as_of=SECOND)["origin"] == "solved"


def test_weights_count_to_their_power(home):
    from orchestration.factors.files import entry_values

    times, weights = np.array([5, 5]), np.array([4.0, 9.0], np.float32)
    for power, expected in ((0, [1, 1]), (0.5, [2, 3]), (1, [4, 9])):
        np.testing.assert_allclose(entry_values(times, weights, 5, Factors(weight_power=power)), expected)


def test_a_half_life_weighs_what_is_old_less(home):
    from orchestration.factors.files import weigh

    read = read_snapshot(snapshot_path(FIRST))
    log, hour = read.interactions[FULL], 1 / 24
    values, _ = weigh(log, read.as_of, Factors(half_life_days=hour))
    np.testing.assert_allclose(values, 0.5, rtol=1e-6)  # every interaction is an hour old
