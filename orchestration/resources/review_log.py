"""The append-only record of every decision about a model version: who, when, what, and on which content.

MLflow keeps only the present state (tags and aliases); this table in the warehouse keeps how it came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestration.resources.warehouse import Warehouse

_TABLE = "registry.registry_reviews"
_CREATE = f"""
create schema if not exists registry;
create table if not exists {_TABLE} (
    decided_at timestamptz not null,
    decided_by varchar not null,
    model varchar not null,
    version integer not null,
    decision varchar not null,
    note varchar not null,
    content_digest varchar not null,
    data_digest varchar not null,
    tags varchar default '{{}}'
)
"""
_ADDED = f"alter table {_TABLE} add column if not exists tags varchar default '{{}}'"  # to older tables
_COLUMNS_THERE = """
select column_name from information_schema.columns
where table_schema = 'registry' and table_name = 'registry_reviews'
"""
GATE = "gate"  # decided_by, where no person decided
APPROVED, APPROVED_ONCE, REJECTED = "approved", "approved once", "rejected"
ROLLED_BACK, OVERRULED = "rolled back", "overruled"
BY_PERSON = (APPROVED, APPROVED_ONCE, REJECTED, ROLLED_BACK, OVERRULED)
GUARDED_TAGS = ("as_of", "served", "content_digest", "data_digest", "validation_status", "gate")


@dataclass(frozen=True)
class Decision:
    """One row.

    decision: promoted | queued | registered | superseded | refused by the gate; by a person approved,
    approved once (a second one must follow), rejected, rolled back, or overruled (asked for in MLflow, and
    another decision came before it was carried out). tags: what the version said of itself, as JSON; "{}" in
    rows that are older than this column.
    """

    decided_at: datetime
    decided_by: str
    model: str
    version: int
    decision: str
    note: str
    content_digest: str
    data_digest: str
    tags: str = "{}"


_COLUMNS = ", ".join(field.name for field in fields(Decision))


class ReviewLog:
    """Reads and appends decisions; every call opens the warehouse and closes it again."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    def append(self, decision: Decision) -> None:
        """Add one row; nothing here changes or removes a row."""
        with self.warehouse.write() as connection:
            connection.execute(_CREATE)
            connection.execute(_ADDED)
            marks = ", ".join("?" * len(fields(Decision)))
            connection.execute(f"insert into {_TABLE} ({_COLUMNS}) values ({marks})", astuple(decision))

    def rows(self, model: str | None = None, version: int | None = None) -> Sequence[Decision]:
        """Decisions, oldest first, of all models or of one model or version."""
        if not self.warehouse.path.exists():
            return []
        with self.warehouse.read() as connection:
            there = {name for (name,) in connection.execute(_COLUMNS_THERE).fetchall()}
            if not there:
                return []
            columns = _COLUMNS if "tags" in there else _COLUMNS.replace("tags", "'{}'")
            found = connection.execute(
                f"select {columns} from {_TABLE} "
                "where (model = $model or $model is null) and (version = $version or $version is null) "
                "order by decided_at, rowid",
                {"model": model, "version": version},
            ).fetchall()
        return [Decision(row[0].astimezone(UTC), *row[1:]) for row in found]

    def latest(self, model: str, version: int) -> Decision | None:
        """The last decision about one version."""
        found = self.rows(model, version)
        return found[-1] if found else None
