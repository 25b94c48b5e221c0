"""Reviews through the stages of `landbridge run`: from a column of the log to what a bridge reads."""

from __future__ import annotations

import pytest
from log_world import World

pytestmark = pytest.mark.slow

EVENTS = """user_id,item_id,time,event,rating,comment
u1,b1,2026-01-01T11:00:00,purchase,5,<b>Kept me up</b> all night
u2,b1,2026-01-02T12:00:00,purchase,1,Damp and dull
u2,b3,2026-01-02T12:30:00,view,,
u3,b1,2026-01-03T13:00:00,purchase,4,Of the last day
"""
PROGRAM = """
import dagster as dg
from orchestration.config import Home
from orchestration.definitions import defs
from orchestration.features import embedded_snapshot, text_encoder
from orchestration.partitions import CONFIG
from orchestration.stages import preparing, run_stage

for as_of, last in (("2026-01-04", "2026-01-03"), ("2026-01-03", "2026-01-03")):
    stages = preparing(CONFIG, as_of, "2026-01-01", last)
    with dg.DagsterInstance.ephemeral() as instance:
        for stage in stages if as_of == "2026-01-04" else stages[-1:]:
            results = run_stage(stage, defs, instance)
            assert all(result.success for result in results), stage.title
            failed = [c.check_name for r in results for c in r.get_asset_check_evaluations() if not c.passed]
            assert not failed, failed
    snapshot = embedded_snapshot(as_of, CONFIG, Home())
    log = snapshot.interactions["books"]
    told = sorted(zip(snapshot.users[log.users], log.reviews.taste.tolist(), log.reviews.embedded.tolist()))
    everybody = [("u1", 1.0, True), ("u2", 0.0, True), ("u2", 1.0, False), ("u3", 0.75, True)]
    assert told == (everybody if as_of == "2026-01-04" else everybody[:-1]), told
    assert log.reviews.encoder == text_encoder(CONFIG).key
    assert snapshot.interactions["films"].reviews is None
    read = text_encoder(CONFIG).encode(["Kept me up all night"])[0]
    (row,) = log.reviews.rows[log.users == 0]
    assert abs(log.reviews.vectors[row] - read).max() < 1e-5
"""


def test_reviews_reach_the_snapshot_that_models_read(world: World) -> None:
    world.write("books.csv", EVENTS)
    books = world.document["domains"]["books"]
    books["events"]["columns"]["text"] = "comment"
    books["reviews"] = {"sentiment": "rating"}
    world.python(PROGRAM)
