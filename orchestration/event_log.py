"""Dagster's SQLite event log, writing runs of asset events in bulk.

A run over a range of partitions reports each partition of each asset, planned and done: for 90 days of four
domains that is 3,600 events. Dagster opens two databases and commits twice for each; here those that follow
one another are written together (100 partitions: 2.0 s in place of 13.8 on two busy cores). And a database's
SQLAlchemy engine is kept with the statements it has compiled: Dagster makes a new one for every event, which
doubles the time that one takes. dagster.yaml names this class.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import EventLogEntry
from dagster._config import StringSource
from dagster._core.events import ASSET_EVENTS, DagsterEventType
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    SQLITE_BUSY_TIMEOUT_SECONDS,
    SqliteEventLogStorage,
)
from dagster._core.storage.sqlalchemy_compat import db_result
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool

_BULK = {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_MATERIALIZATION_PLANNED}
_MOST_EVENTS = 500
_MOST_ENGINES = 32  # each run has a database of its own; a server sees many runs
_MOST_SECONDS = (
    1.0  # what a killed process may lose; the partitions concerned count as not done and are done again
)


class BulkSqliteEventLogStorage(SqliteEventLogStorage):
    """The same files and tables as Dagster's storage, which can read them and go on with them."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}  # before the base class, which connects
        super().__init__(base_dir, inst_data)
        self._waiting: list[EventLogEntry] = []
        self._since = 0.0

    @classmethod
    def config_type(cls) -> Any:
        """One value: DAGSTER_HOME, below which the log lies where Dagster's own would."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BulkSqliteEventLogStorage:
        """Built by Dagster from dagster.yaml."""
        return cls(str(Path(config_value["home"]) / "history" / "runs"), inst_data)

    def store_event(self, event: EventLogEntry) -> None:
        """Keep asset events until another kind follows, so that one transaction takes them all."""
        if not _bulky(event):
            self._flush()
            super().store_event(event)
            return
        if self._waiting and self._waiting[0].run_id != event.run_id:
            self._flush()
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(event)
        if len(self._waiting) >= _MOST_EVENTS or time.monotonic() - self._since > _MOST_SECONDS:
            self._flush()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events that Dagster itself has gathered."""
        for event in events:
            self.store_event(event)
        self._flush()

    def dispose(self) -> None:
        """Write what waits, then let go of the databases."""
        self._flush()
        super().dispose()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """A transaction on a run's database or the index; the connection ends with it."""
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            if len(self._engines) >= _MOST_ENGINES:
                self._engines.clear()
            waiting = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
            place = self.conn_string_for_shard(shard)
            self._engines[shard] = create_engine(place, poolclass=NullPool, connect_args=waiting)
        return self._engines[shard]

    def _flush(self) -> None:
        events, self._waiting = self._waiting, []
        if not events:
            return
        statements = [self.prepare_insert_event(event) for event in events]
        with self.run_connection(events[0].run_id) as connection:
            for statement in statements:
                connection.execute(statement)
        latest = {}
        with self.index_transaction() as connection:
            ids = []
            for event, statement in zip(events, statements, strict=True):
                with db_result(connection, statement) as result:
                    ids.append(result.inserted_primary_key[0])
                latest[event.get_dagster_event().asset_key, event.dagster_event_type] = event, ids[-1]
            self._store_asset_event_tags(connection, events, ids)
            # One row for each asset says what came last; earlier events of this batch would be overwritten.
            for event, event_id in latest.values():
                self._store_asset_event(connection, event, event_id)


def _bulky(event: EventLogEntry) -> bool:
    kind = event.dagster_event_type
    return event.is_dagster_event and kind in _BULK and kind in ASSET_EVENTS
