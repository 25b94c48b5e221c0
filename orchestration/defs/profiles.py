"""Profiles: what every user likes, in words, for the reviewer's eye and as text that a model can read."""

import dagster as dg

from orchestration.config import Home
from orchestration.pages import Table, markdown_table
from orchestration.partitions import AS_OF, CONFIG

SAMPLED_USERS = 3


@dg.asset(
    partitions_def=AS_OF,
    deps=["training_snapshot", dg.AssetDep("item_texts", partition_mapping=dg.AllPartitionMapping())],
    group_name="features",
    kinds={"python", "parquet"},
)
def user_profiles(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The ten words that tell most about a user's history in each domain, in `profiles/<as_of>.parquet`."""
    from orchestration.defs.snapshot import snapshot_of
    from orchestration.profiles import profiles_path, write_profiles

    key, home = context.partition_key, Home()
    snapshot = snapshot_of(key)
    rows = write_profiles(profiles_path(home, key), snapshot, CONFIG, home)
    active = {name: int((log.counts() > 0).sum()) for name, log in snapshot.interactions.items()}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(rows.values()),
            "path": dg.MetadataValue.path(profiles_path(home, key)),
            "sample": dg.MetadataValue.md(sample_table(home, key, snapshot.users[:SAMPLED_USERS].tolist())),
            **{f"profiles/{name}": count for name, count in rows.items()},
            **{f"users without words/{name}": active[name] - count for name, count in rows.items()},
        }
    )


def sample_table(home: Home, as_of_key: str, users: list[str]) -> str:
    """A markdown table of some users' keywords."""
    from orchestration.profiles import read_profiles

    found = sorted(
        read_profiles(home, as_of_key, users).to_pylist(), key=lambda row: (row["user_id"], row["domain"])
    )
    return markdown_table(
        Table(["user", "domain", "keywords"], [[row["user_id"], row["domain"], row["text"]] for row in found])
    )
