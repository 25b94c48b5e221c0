"""How often the 95 % intervals hold the truth, on simulated users whose true means are known.

    python benchmarks/interval_coverage.py --worlds 3000

A world is n users with 1 and more relevant items (one each in "leave one out"), most of whom no list serves:
recall is 0 for many and skewed. The bridge finds what its twin finds a little more often. For each kind of
world and n: the share of worlds whose interval holds the true mean recall, the true lift, and a true lift of
0 (signs at random), beside those of the percentile interval and of Student's t alone; worlds whose interval
lies below and above the truth in brackets. not 0: users (median) whose values say anything at all.
"""

from __future__ import annotations

import argparse

import numpy as np

from ml.metrics import intervals
from ml.metrics.significance import LEVEL, student

# Share of users whom any list serves, and how the bridge's gain on them is spread.
KINDS = {"few hits": (0.15, "common"), "many hits": (0.6, "common"), "rare gain": (0.15, "rare")}
LEAVE_ONE_OUT = "leave one out"
Bounds = tuple[np.ndarray, np.ndarray]


def world(
    kind: str, users: int, worlds: int, random: np.random.Generator
) -> dict[str, tuple[np.ndarray, float]]:
    """Question -> (users, worlds) values and their true mean."""
    shape = (users, worlds)
    share, gains = KINDS.get(kind, (0.25, "common"))
    relevant = np.ones(shape, int) if kind == LEAVE_ONE_OUT else 1 + random.geometric(0.4, shape)
    served = random.random(shape) < share
    found = random.beta(1, 2, shape)
    gain = random.beta(1, 4, shape) if gains == "common" else (random.random(shape) < 0.1).astype(float)
    twin = random.binomial(relevant, np.where(served, found, 0)) / relevant
    bridge = random.binomial(relevant, np.where(served, found + (1 - found) * gain, 0)) / relevant
    lift = bridge - twin
    signs = np.where(random.random(shape) < 0.5, 1, -1)
    # Means of the beta distributions: 1/3 of found, 1/5 (rare: 1/10) of gain.
    true_lift = share * (2 / 3) * (0.2 if gains == "common" else 0.1)
    return {"recall": (twin, share / 3), "lift": (lift, true_lift), "no lift": (signs * lift, 0.0)}


def bounds(values: np.ndarray) -> dict[str, Bounds]:
    """Method -> lows and highs (worlds,); every world is resampled alike, which costs one product."""
    found = intervals.bootstrap_means(values)
    ours = np.array([row.low for row in found]), np.array([row.high for row in found])
    cut = (1 - LEVEL) / 2
    low, high = np.quantile(intervals._resampled_means(values, intervals.DRAWS, 0), [cut, 1 - cut], axis=0)
    mean = values.mean(axis=0)
    half, _ = student(mean, values.std(axis=0, ddof=1), len(values))
    return {"ours": ours, "percentile": (low, high), "Student": (mean - half, mean + half)}


def figure(found: Bounds, truth: float) -> str:
    below, above = (found[1] < truth).mean(), (found[0] > truth).mean()
    return f"{1 - below - above:.1%} ({below:.1%}, {above:.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--worlds", type=int, default=3000)
    parser.add_argument("--users", type=int, nargs="+", default=[50, 100, 200, 2000])
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    random = np.random.default_rng(asked.seed)
    print("| users | world | of | not 0 | ours | percentile | Student |\n|--:|:--|:--|--:|--:|--:|--:|")
    for users in asked.users:
        for kind in (*KINDS, LEAVE_ONE_OUT):
            for question, (values, truth) in world(kind, users, asked.worlds, random).items():
                figures = [figure(found, truth) for found in bounds(values).values()]
                told = int(np.median((values != 0).sum(axis=0)))
                print(f"| {users} | {kind} | {question} | {told} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
