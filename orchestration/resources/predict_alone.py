"""Run by `clean_process.py` in an interpreter of its own: load a logged model, predict, time one user's list.

Isolated (`python -I`) and outside the repository, it has what `mlflow` brings and what the version carries.
In: one JSON document with model, users, stranger, k and rounds. Out: one on the last line.
"""

import json
import sys
import time

import mlflow.pyfunc
import pandas as pd

asked = json.load(sys.stdin)
model = mlflow.pyfunc.load_model(asked["model"])
frame = pd.DataFrame({"user_id": [*asked["users"], asked["stranger"]]})
rows = model.predict(frame, params={"k": asked["k"]})

recommender = model.unwrap_python_model().recommender
took = []
for turn in range(asked["rounds"]):
    user = frame["user_id"].iloc[turn % len(frame)]
    began = time.perf_counter()
    recommender.recommend([user], k=asked["k"])
    took.append(1000 * (time.perf_counter() - began))

answer = {
    "users": rows.groupby("user_id").size().to_dict(),
    "finite": bool(rows["score"].abs().lt(float("inf")).all()),
    "code": sys.modules["ml"].__file__,
    "milliseconds": took,
}
print(json.dumps(answer))
