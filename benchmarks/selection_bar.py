"""How sure must selection be of a source, when the gate still judges on test users after it?

    python benchmarks/selection_bar.py --worlds 40 --agreement 0 0.3 0.6 1

In tiny worlds (`ml.demo.tiny_world`) a share of the users, the agreement, has one taste in all domains: what
a source can be worth, from nothing to much. Every world is trained once: selection chooses
a bridge and a twin for each cohort of validation users, and both are measured on test users. Then every bar,
in standard errors of the gain held out, decides on the same figures what is adopted. One half of the test
users is the gate; the other half had no say and tells what adoption is worth. Nothing is written but what
`--cache` keeps of the worlds, so that a run can go on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import prepared  # noqa: F401  (first: it sets what torch reads once)
import pyarrow as pa
from scipy.stats import norm

from ml.bridge.measure import asked_of, blends_of, measured
from ml.bridge.protocol import Protocol
from ml.bridge.select.choose import Choice, choice, try_all
from ml.bridge.train import CANDIDATES
from ml.demo.tiny_world import DAY, snapshot
from ml.metrics.cohorts import USER_COHORTS
from ml.metrics.intervals import bootstrap_mean
from ml.metrics.report import evaluate
from ml.metrics.significance import CERTAIN, benjamini_hochberg, student

BARS = (0.0, 0.5, 1.0, 1.28, 1.645)
K, SHARE, HORIZON = 5, 0.4, 12 * DAY


@dataclass(frozen=True)
class Cohort:
    """sure: the held-out gain in its standard errors. lift, p: of recall over the twin's on one half of the
    test users. worth: the mean lift on the other half. same: no source is in the blend anyway."""

    sure: float
    lift: float
    p: float
    worth: float
    same: bool


def world(agreement: float, seed: int, users: int, scenarios: Sequence[str]) -> dict[str, Cohort]:
    """What selection and test users say of each cohort of one world."""
    made = snapshot(seed, users, agreement=agreement)
    protocol = Protocol(made, "books", ("films",), SHARE, HORIZON, 0, "cpu")
    chosen: dict[str, Choice] = {}
    for scenario in scenarios:
        tried = try_all(getattr(protocol, scenario)("choose"), K, lambda line: None)
        chosen |= {cohort: choice(each, K, -np.inf) for cohort, each in tried.items()}
    blends = {name: blends_of(name, chosen) for name in CANDIDATES}
    asked = asked_of(protocol, cold_items=False)
    lists = [plain for s in scenarios for plain, _ in measured(asked[s][:1], blends, K)]
    report = evaluate(pa.concat_tables(lists), len(made.catalogues["books"]), K, 0)
    return {
        cohort: Cohort(
            each.evidence["gain"] / max(each.evidence["gain_standard_error"], 1e-12),
            *lift_and_p(gains[::2]),
            float(gains[1::2].mean()),
            each.bridge.weights == each.twin.weights,
        )
        for cohort, each in chosen.items()
        if cohort in USER_COHORTS and len(gains := differences(report.per_user, cohort)) > 3
    }


def differences(per_user: pa.Table, cohort: str) -> np.ndarray:
    """(u,) recall of the bridge less the twin's, of the cohort's test users in the order of their ids."""
    mine = [row for row in per_user.to_pylist() if row["cohort"] == cohort and row["recall"] == row["recall"]]
    values = {(row["candidate"], row["user_id"]): row["recall"] for row in mine}
    users = sorted({row["user_id"] for row in mine})
    return np.array([values["bridge", user] - values["twin", user] for user in users])


def lift_and_p(gains: np.ndarray) -> tuple[float, float]:
    """The mean, and how likely a mean as far from 0 is by chance."""
    mean, deviation = np.array([gains.mean()]), np.array([gains.std(ddof=1)])
    p = student(mean, deviation, len(gains))[1] if deviation[0] > 0 else np.ones(1)
    return float(mean[0]), float(p[0])


def outcome(found: Mapping[str, Cohort], bar: float, of: Sequence[str]) -> tuple[bool, bool, float]:
    """Whether a source is adopted in any of the cohorts `of`; whether the gate passes; what users then gain.

    The other cohorts are judged as they stand today, at the strictest bar.
    """
    taken = {
        name: each for name, each in found.items()
        if each.sure > (bar if name in of else max(BARS)) and not each.same
    }  # fmt: skip
    certain = benjamini_hochberg(np.array([each.p for each in taken.values()])) <= CERTAIN
    signs = {np.sign(each.lift) for each, sure in zip(taken.values(), certain, strict=True) if sure}
    passed = signs == {1.0}  # certainly better in some cohort, certainly worse in none: the gate's rule
    worth = sum(each.worth for each in taken.values() if np.isfinite(each.worth)) if passed else 0.0
    return any(name in taken for name in of), passed, worth


def table(worlds: Mapping[str, Sequence[Mapping[str, Cohort]]], of: Sequence[str]) -> Iterable[str]:
    """One line for each agreement and bar."""
    yield f"\nbar for {', '.join(of)} users\n"
    yield "| agreement | bar | adopted | worth if adopted [95 %] | gate passes | gain of all served users |"
    yield "|---|---|---|---|---|---|"
    for agreement, found in worlds.items():
        cohorts = [each[name] for each in found for name in of if name in each]
        for bar in BARS:
            results = [outcome(each, bar, of) for each in found]
            adopted = [c.worth for c in cohorts if c.sure > bar and not c.same and np.isfinite(c.worth)]
            worth = bootstrap_mean(np.array(adopted)) if len(adopted) > 1 else None
            said = f"{worth.mean:+.4f} [{worth.low:+.4f}, {worth.high:+.4f}]" if worth else "–"
            yield (
                f"| {agreement} | {bar:g} | {np.mean([a for a, _, _ in results]):.2f} | {said} "
                f"| {np.mean([p for _, p, _ in results]):.2f} | {np.mean([w for _, _, w in results]):+.4f} |"
            )


def reckoned(ratio: float) -> Iterable[str]:
    """The same for a normal gain of a known size, without a world: one line for each true gain.

    Units are standard errors of the validation users; of test users there are `ratio` times as many. alone:
    no other cohort has a source, so that the gate passes only if this gain is certain there too. beside:
    another cohort carries the bridge through the gate, unless this one is certainly worse there (spoilt).
    """
    yield f"\nreckoned, {ratio:g} test users to a validation user: adopted / gain alone / beside / spoilt\n"
    yield f"| true gain | {' | '.join(f'bar {bar:g}' for bar in BARS)} |"
    yield f"|---|{'---|' * len(BARS)}"
    for gain in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        shown = gain * sqrt(ratio)
        better, worse = norm.sf(norm.isf(0.025) - shown), norm.cdf(norm.ppf(0.025) - shown)
        cells = [
            f"{a:.2f} / {gain * a * better:+.2f} / {gain * a * (1 - worse):+.2f} / {a * worse:.3f}"
            for a in (norm.sf(bar - gain) for bar in BARS)
        ]
        yield f"| {gain:g} | {' | '.join(cells)} |"


def cached(path: Path | None, key: str) -> Any:
    """What an earlier run found of a world."""
    file = path / f"{key}.json" if path else None
    return json.loads(file.read_text()) if file and file.is_file() else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=40, help="of each agreement")
    parser.add_argument("--agreement", type=float, nargs="+", default=[0.0, 0.3, 0.6, 1.0])
    parser.add_argument("--scenarios", nargs="+", default=["cold", "time"], choices=("cold", "time"))
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--cache", type=Path, help="a folder that keeps each world's figures")
    parser.add_argument("--ratio", type=float, default=1.5, help="test users to a validation user, reckoned")
    args = parser.parse_args()
    print("\n".join(reckoned(args.ratio)), flush=True)
    found: dict[str, list[dict[str, Cohort]]] = {f"{a:g}": [] for a in args.agreement}
    for seed in range(args.worlds):  # every agreement in turn: a run that is cut short says something of each
        for agreement in args.agreement:
            key = f"{agreement:g}-{seed}-{args.users}-{'+'.join(args.scenarios)}"
            known = cached(args.cache, key)
            cohorts = (
                {name: Cohort(**each) for name, each in known.items()}
                if known
                else world(agreement, seed, args.users, args.scenarios)
            )
            if args.cache and not known:
                args.cache.mkdir(parents=True, exist_ok=True)
                (args.cache / f"{key}.json").write_text(json.dumps({n: vars(e) for n, e in cohorts.items()}))
            found[f"{agreement:g}"].append(cohorts)
    measured_cohorts = {name for each in found.values() for one in each for name in one}
    for cohort in [c for c in USER_COHORTS if c in measured_cohorts]:
        print("\n".join(table(found, (cohort,))), flush=True)


if __name__ == "__main__":
    main()
