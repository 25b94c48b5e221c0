"""The DuckDB warehouse: one file, one writer, opened briefly.

dagster-duckdb's own resource always opens read-write, which shuts every reader out; this one has both modes.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import clear_overloads

import dagster as dg
import duckdb

from orchestration.config import Home
from orchestration.full_disk import full_disk_line, is_full_disk

SCHEMAS = ("raw", "staging", "intermediate", "marts")
_Settings = dict[str, str | bool | int | float | list[str]]
_LOCK_ATTEMPTS = 40
_LOCK_PAUSE = 0.25  # seconds; ten seconds in all, then somebody keeps the file open on purpose

# torch's C++ registries never let go of some functions, and so of typing's table of overloads, where
# Dagster's serialisers stand. They lead to its records, whose __new__ keeps a copy of the globals of whoever
# made the first one, DuckDB among them: without this DuckDB lists all it holds as leaked at the end.
atexit.register(clear_overloads)


class WarehouseError(dg.Failure):
    """The warehouse cannot be used; the message says what to do, also where it is how a step ends."""


class FullDiskError(WarehouseError):
    """The disk of the home is full."""


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
    """Connections to the home's warehouse; `memory_limit` bounds DuckDB, which then spills beside the file.

    root: the home's folder, None for LANDBRIDGE_HOME at the time of the call.
    """

    memory_limit: str = "3GB"
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
        return {"memory_limit": self.memory_limit, "threads": self.threads}

    @contextmanager
    def _open(self, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection; FullDiskError where the disk is full, then or in the block."""
        connection = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = _connect(self.path, read_only, self._settings())
            yield connection
        except (duckdb.Error, OSError) as error:
            if not is_full_disk(error, self.home):
                raise
            raise FullDiskError(full_disk_line(self.home)) from error
        finally:
            if connection is not None:
                connection.close()

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection; many may be open at once while nobody writes."""
        if not self.path.exists():
            raise WarehouseError(
                f"{self.path} does not exist yet; materialise raw/events and raw/items first"
            )
        with self._open(read_only=True) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The one read-write connection; the schemas exist. Who calls it has `pool="warehouse"`."""
        try:
            with self._open(read_only=False) as connection:
                for schema in SCHEMAS:
                    connection.execute(f"create schema if not exists {schema}")
                yield connection
        except FullDiskError:
            self.reclaim()
            raise

    def reclaim(self) -> None:
        """Give back to a full disk what transactions that it undid have taken in the file.

        Others need it too: Dagster can otherwise not even write that the step has failed.
        """
        with suppress(WarehouseError, duckdb.Error), self._open(read_only=False) as connection:
            connection.execute("checkpoint")
