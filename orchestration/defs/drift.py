"""What changed in the columns of the landing files, as a check of the raw tables: it warns, a load refuses.

A change that would spoil windows fails the load itself, before it writes; what is seen here was loaded.
"""

import dagster as dg

from orchestration.landing.history import EVENTS, ITEMS, latest_changes
from orchestration.partitions import CONFIG
from orchestration.resources.warehouse import Warehouse

_FIELDS = ("domain", "file", "column", "change", "was", "now", "proposal")


def _schema_drift(kind: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=["raw", kind],
        name="schema_drift",
        description="The columns of the files are those that the load before this one found.",
        pool="warehouse",
    )
    def schema_drift(warehouse: Warehouse) -> dg.AssetCheckResult:
        with warehouse.read() as connection:
            changes = latest_changes(connection, CONFIG, kind)
        records = [dg.TableRecord(dict(zip(_FIELDS, change, strict=True))) for change in changes]
        schema = dg.TableSchema([dg.TableColumn(name) for name in _FIELDS])
        return dg.AssetCheckResult(
            passed=not changes,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "changes": len(changes),
                "columns": dg.MetadataValue.table(records, schema=schema),
            },
        )

    return schema_drift


events_schema_drift = _schema_drift(EVENTS)
items_schema_drift = _schema_drift(ITEMS)
