"""Landbridge's ingest and dbt on one log, as the Dagster assets call them: `ours.py FOLDER`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

began = time.perf_counter()

folder = Path(sys.argv[1])
home = folder / "home"
os.environ.update(LANDBRIDGE_HOME=str(home), LANDBRIDGE_CONFIG=str(folder / "landbridge.yaml"))
(folder / "landbridge.yaml").write_text(
    """
calendar: {grain: day, start: 2026-01-01, end: 2026-04-01}
domains:
  shop:
    events:
      path: log.csv
      format: csv
      columns: {user: user_id, item: item_id, time: ts, event: event, value: value}
      time_unit: s
    items: {path: items.csv, format: csv, columns: {item: item_id, text: [title]}}
    event_weights: {view: 1, cart: 2, purchase: 4}
cleaning:
  near_duplicate_seconds: 2
  bots: {events_per_day: 500}
"""
)

from orchestration.config import load_config  # noqa: E402  # the configuration is read on import below
from orchestration.defs.clean import BUILD  # noqa: E402
from orchestration.landing.loading import Span, load_events, load_items  # noqa: E402
from orchestration.resources.dbt import covering, dbt_project, dbt_resource  # noqa: E402
from orchestration.resources.warehouse import Warehouse  # noqa: E402

startup = time.perf_counter() - began
config = load_config()
calendar = config.calendar
span = Span(("shop",), calendar.start, calendar.end)
with Warehouse().write() as connection:
    load_items(connection, config, ["shop"])
    load_events(connection, config, span)
project = dbt_project()
dbt = [dbt_resource(project).dbt_executable, "--quiet", *BUILD, "--project-dir", str(project.project_dir)]
with covering(span):
    environment = {**os.environ, "DBT_PROFILES_DIR": str(project.project_dir)}
    began = time.perf_counter()
    subprocess.run(dbt, check=True, stdout=sys.stderr, env=environment)
    results = json.loads((home / "dbt" / "run_results.json").read_text())
    startup += time.perf_counter() - began - results["elapsed_time"]
with Warehouse().read() as connection:
    lines = connection.execute("select reason, sum(rows)::bigint from marts.mart_data_quality group by 1")
    counts = {"lines": dict(lines.fetchall())}
    for table, query in {
        "interactions": "select count(*), sum(weight) from marts.fct_interactions",
        "sessions": "select count(*), sum(items) from marts.fct_sessions",
    }.items():
        counts[table] = [round(float(number)) for number in connection.execute(query).fetchone()]
print(json.dumps({"startup": startup, **counts}))
