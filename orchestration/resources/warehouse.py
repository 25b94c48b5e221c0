"""The DuckDB warehouse: one file, one writer, opened briefly.

dagster-duckdb's own resource always opens read-write, which shuts every reader out; this one has both modes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb

from orchestration.config import Home

SCHEMAS = ("raw", "staging", "intermediate", "marts")
_Settings = dict[str, str | bool | int | float | list[str]]
_LOCK_ATTEMPTS = 40
_LOCK_PAUSE = 0.25  # seconds; ten seconds in all, then somebody keeps the file open on purpose


class WarehouseError(Exception):
    """The warehouse cannot be opened; the message says what to do."""


def _connect(path: Path, read_only: bool, settings: _Settings) -> duckdb.DuckDBPyConnection:
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            connection = duckdb.connect(str(path), read_only=read_only, config=settings)
            connection.execute(
                "set TimeZone = 'UTC'"
            )  # no setting of connect(): it comes with the icu extension
            return connection
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise WarehouseError(f"{path} cannot be opened: {error}") from error
            if attempt == _LOCK_ATTEMPTS - 1:
                raise WarehouseError(
                    f"{path} is open in another process; close it and try again: {error}"
                ) from error
        time.sleep(_LOCK_PAUSE)
    raise AssertionError("unreachable")


class Warehouse(dg.ConfigurableResource):
    """Connections to the home's warehouse; `memory_limit` bounds DuckDB, which spills to disk beyond it.

    root: the home's folder, None for LANDBRIDGE_HOME at the time of the call.
    """

    memory_limit: str = "1GB"
    threads: int = 2
    root: str | None = None

    @property
    def home(self) -> Home:
        """The home whose warehouse this is."""
        return Home(Path(self.root) if self.root else None)

    @property
    def path(self) -> Path:
        """The warehouse file."""
        return self.home.warehouse

    def _settings(self) -> _Settings:
        return {
            "memory_limit": self.memory_limit,
            "threads": self.threads,
            "temp_directory": str(self.home.root / "tmp" / "duckdb"),
        }

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection; many may be open at once while nobody writes."""
        if not self.path.exists():
            raise WarehouseError(
                f"{self.path} does not exist yet; materialise raw/events and raw/items first"
            )
        connection = _connect(self.path, True, self._settings())
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The one read-write connection; the schemas exist. Who calls it has `pool="warehouse"`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(self.path, False, self._settings())
        try:
            for schema in SCHEMAS:
                connection.execute(f"create schema if not exists {schema}")
            yield connection
        finally:
            connection.close()
