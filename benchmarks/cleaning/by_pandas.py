"""The same cleaning in pandas, as a notebook would do it: `by_pandas.py FOLDER`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

began = time.perf_counter()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

startup = time.perf_counter() - began
folder = Path(sys.argv[1])
catalogue = set(pd.read_csv(folder / "items.csv")["item_id"].str.strip())
lines = (folder / "log.csv").read_text().split("\n")[1:]
if not lines[-1]:
    lines.pop()
log = pd.DataFrame({"raw": lines})
fields = log["raw"].str.split(",", expand=True)
broken = fields[4].isna() | (fields[5].notna() if 5 in fields else False)
log["user"] = fields[0].str.strip().replace("", None)
log["item"] = fields[1].str.strip().replace("", None)
log["time"] = pd.to_datetime(pd.to_numeric(fields[2], errors="coerce"), unit="s", utc=True)
log["event"] = fields[3].str.strip().str.lower()
log["value"] = pd.to_numeric(fields[4], errors="coerce")
log["weight"] = log["event"].map({"view": 1.0, "cart": 2.0, "purchase": 4.0, "cancel": 0.0})
log["day"] = log["time"].dt.floor("D")
log["reason"] = np.select(
    [
        broken, log["user"].isna(), log["item"].isna(), log["time"].isna(),
        log["time"] < pd.Timestamp("2026-01-01", tz="UTC"),
        log["time"] >= pd.Timestamp("2026-04-01", tz="UTC"),
        log["weight"].isna(), log["value"] < 0, ~log["item"].isin(catalogue),
    ],
    [
        "unparsable", "missing_user", "missing_item", "bad_time", "before_calendar", "future_time",
        "unknown_event", "negative_value", "orphan_item",
    ],
    default="kept",
)  # fmt: skip
good = log[log["reason"] == "kept"].sort_values("time", kind="stable")
gap = good.groupby(["day", "user", "item", "event"])["time"].diff()
near = gap[gap <= pd.Timedelta(seconds=2)].index
copies = log.index[log["raw"].duplicated() & (log["reason"] == "kept")]
single = good.drop(copies)
busy = single.groupby(["user", "day"])["item"].transform("size") > 500
for reason, index in (("bot", single.index[busy]), ("near_duplicate", near), ("duplicate", copies)):
    log.loc[index, "reason"] = reason
# An earlier rule wins where two apply: they were written last.
kept = log[log["reason"] == "kept"].sort_values("time", kind="stable")
acts = kept[kept["event"] != "cancel"]
interactions = acts.groupby(["day", "user", "item"], sort=False).agg(
    weight=("weight", "max"), time=("time", "max"), events=("time", "size")
)
starts = kept.groupby(["day", "user"])["time"].diff() > pd.Timedelta(minutes=30)
kept = kept.assign(session=starts.groupby([kept["day"], kept["user"]]).cumsum())
sessions = kept.groupby(["day", "user", "session"], sort=False).agg(
    start=("time", "min"), end=("time", "max"), events=("time", "size"), items=("item", "nunique")
)
print(
    json.dumps(
        {
            "startup": startup,
            "lines": {reason: int(count) for reason, count in log["reason"].value_counts().items()},
            "interactions": [len(interactions), round(float(interactions["weight"].sum()))],
            "sessions": [len(sessions), int(sessions["items"].sum())],
        }
    )
)
