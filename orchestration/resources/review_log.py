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
    data_digest varchar not null
)
"""
_EXISTS = """
select 1 from information_schema.tables where table_schema = 'registry' and table_name = 'registry_reviews'
"""
GATE = "gate"  # decided_by, where no person decided
BY_PERSON = ("approved", "rejected")


@dataclass(frozen=True)
class Decision:
    """One row.

    decision: promoted | queued | registered | superseded by the gate, approved | rejected by a person.
    """

    decided_at: datetime
    decided_by: str
    model: str
    version: int
    decision: str
    note: str
    content_digest: str
    data_digest: str


_COLUMNS = ", ".join(field.name for field in fields(Decision))


class ReviewLog:
    """Reads and appends decisions; every call opens the warehouse and closes it again."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    def append(self, decision: Decision) -> None:
        """Add one row; nothing here changes or removes a row."""
        with self.warehouse.write() as connection:
            connection.execute(_CREATE)
            marks = ", ".join("?" * len(fields(Decision)))
            connection.execute(f"insert into {_TABLE} ({_COLUMNS}) values ({marks})", astuple(decision))

    def rows(self, model: str | None = None, version: int | None = None) -> Sequence[Decision]:
        """Decisions, oldest first, of all models or of one model or version."""
        if not self.warehouse.path.exists():
            return []
        with self.warehouse.read() as connection:
            if not connection.execute(_EXISTS).fetchone():
                return []
            found = connection.execute(
                f"select {_COLUMNS} from {_TABLE} "
                "where (model = $model or $model is null) and (version = $version or $version is null) "
                "order by decided_at, rowid",
                {"model": model, "version": version},
            ).fetchall()
        return [Decision(row[0].astimezone(UTC), *row[1:]) for row in found]

    def latest(self, model: str, version: int) -> Decision | None:
        """The last decision about one version."""
        found = self.rows(model, version)
        return found[-1] if found else None
