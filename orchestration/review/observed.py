"""What users took of a version's lists beside what its evaluation promised: for whoever reviews the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestration.observations import METRICS, ListFacts, Observed, ObservedRow, read_observed
from orchestration.pages import Section, Table
from orchestration.review.peers import short

if TYPE_CHECKING:
    from orchestration.config import Home
    from orchestration.resources.registry import Registry

COHORTS = ("cold", "sparse", "warm", "all")
NOTHING = "–"
CAVEATS = (
    "users with a list who took something new count, each once; this is no experiment: nobody was left "
    "without lists, so it tells what the lists met, and not what they brought about",
    "offline figures are of test users whose history was hidden, over the evaluation's horizon: a longer "
    "period lets users take more, which raises precision and lowers recall",
)


def observed_section(home: Home, target: str, version: int | None = None) -> Section | None:
    """Observed precision and recall of one version's lists, or of every version's (None), beside the offline
    ones; None where no user has answered to any of them yet.
    """
    found = read_observed(home, target)
    if found is None:
        return None
    rows = [row for row in found.rows if version in (None, row.version)]
    if not rows:
        return None
    versions = sorted({row.version for row in rows})
    lists = [facts for facts in found.lists if facts.version in versions]
    spoken = [line for number in versions for line in _lines(number, lists)]
    k = max(facts.k for facts in lists)
    return Section(
        f"Observed at {k}: what users took of the lists", (*spoken, *CAVEATS), observed_table(found, versions)
    )


def _lines(version: int, lists: Iterable[ListFacts]) -> list[str]:
    """How much the figures of a version rest on."""
    mine = [facts for facts in lists if facts.version == version]
    first, last = mine[0].as_of, mine[-1].as_of
    span = f"as of {first}" if first == last else f"as of {first} to {last}"
    counts = {name: sum(getattr(f, name) for f in mine) for name in ("counted", "without_list", "repeats")}
    lines = [
        f"version {version}: {len(mine)} {'list' if len(mine) == 1 else 'lists'} {span}; "
        f"{counts['counted']:,} times a user with a list took something new; "
        f"{counts['without_list']:,} times a user without one did, which is not in the figures; "
        f"{counts['repeats']:,} items were taken again, which lists leave out: neither hits nor misses"
    ]
    if unseen := sum(not facts.shown for facts in mine):
        lines.append(
            f"version {version}: the log ends before {unseen} of its lists were written, so nobody has seen "
            "them: their part of the figures is what they would have met from their as-of on"
        )
    return lines


def observed_table(found: Observed, versions: Sequence[int]) -> Table:
    """Version and cohort by metric, observed beside offline, with 95 % intervals."""
    observed, offline = (
        {(row.version, row.cohort, row.metric): row for row in rows} for rows in (found.rows, found.offline)
    )
    body = []
    for version in versions:
        for cohort in COHORTS:
            mine = [observed.get((version, cohort, metric)) for metric in METRICS]
            if mine[0] is not None:
                promised = [offline.get((version, cohort, metric)) for metric in METRICS]
                cells = [_figure(row) for pair in zip(mine, promised, strict=True) for row in pair]
                body.append([f"{version} {cohort}", f"{mine[0].users:,}", *cells])
    header = [f"{metric} {kind}" for metric in METRICS for kind in ("observed", "offline")]
    return Table(["version, users who were", "users", *header], body)


def _figure(row: ObservedRow | None) -> str:
    if row is None:
        return NOTHING
    return f"{short(row.mean)}\u00a0[{short(row.low)},\u00a0{short(row.high)}]"


def offline_rows(registry: Registry, target: str, lists: Iterable[ListFacts]) -> list[ObservedRow]:
    """What the evaluation of each version said of the candidate it serves; none for a version that is
    deleted, or measured at another k than its lists have.
    """
    known = {int(version.version): version for version in registry.versions(target)}
    found = []
    for number, k in sorted({(facts.version, facts.k) for facts in lists}):
        run_id = known[number].run_id if number in known else None
        if run_id is None:
            continue
        logged = registry.client.get_run(run_id).data.metrics
        for cohort in COHORTS:
            for metric in METRICS:
                name = f"{metric}_at_{k}_{cohort}"
                keys = name, f"{name}_ci_low", f"{name}_ci_high"
                if all(key in logged for key in keys):
                    mean, low, high = (logged[key] for key in keys)
                    users = int(logged.get(f"users_{cohort}", 0))
                    found.append(ObservedRow(number, cohort, metric, mean, low, high, users))
    return found
