"""An example's real data through the raw tables and all models, for tests that hold them against pandas."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from log_world import REPOSITORY

from orchestration.config import Config, load_config
from orchestration.landing.loading import Span, load_events, load_items
from orchestration.resources.dbt import dbt_project, dbt_resource
from orchestration.resources.warehouse import Warehouse


@dataclass(frozen=True)
class Cleaned:
    """A configuration and the home whose warehouse holds all its tables."""

    config: Config
    home: Path

    def frame(self, query: str) -> pd.DataFrame:
        """The rows of a query on the warehouse."""
        with Warehouse(root=str(self.home)).read() as connection:
            return connection.execute(query).df()

    def verdicts(self) -> pd.DataFrame:
        """domain, source_line, reason ('kept' for what is) of every line that was loaded, sorted."""
        return self.frame(
            "select domain, source_line, coalesce(reason, 'kept') as reason "
            "from intermediate.int_event_verdicts order by domain, source_line"
        )


def example_config(name: str) -> Config:
    """An example's configuration; skips the test where its data are not here."""
    config = load_config(REPOSITORY / "examples" / f"{name}.yaml")
    paths = {config.resolve(f.path) for d in config.domains.values() for f in (d.events, d.items)}
    missing = [str(path) for path in sorted(paths) if not path.exists()]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: get the data (examples/{name}.yaml) or set LANDBRIDGE_DATA")
    return config


@contextmanager
def cleaned(config: Config, home: Path) -> Iterator[Cleaned]:
    """All windows of all domains, loaded and run through dbt in a home of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDBRIDGE_HOME", str(home))
        # dbt_project() sets these for its own process; here the next test must not inherit them.
        for name in ("LANDBRIDGE_WAREHOUSE", "DBT_TARGET_PATH"):
            patch.setenv(name, os.environ.get(name, ""))
        end = config.calendar.end
        assert end is not None
        with Warehouse().write() as connection:
            load_items(connection, config, config.domain_names)
            load_events(connection, config, Span(tuple(config.domain_names), config.calendar.start, end))
        dbt_resource(dbt_project()).cli(["run", "--quiet"]).wait()
        yield Cleaned(config, home)


def differing_lines(found: pd.DataFrame, expected: pd.DataFrame) -> list[tuple[object, ...]]:
    """Up to ten lines that only one of the two frames of `Cleaned.verdicts` has, or judges so."""
    both = found.merge(expected, how="outer", on=["domain", "source_line"], suffixes=("", "_expected"))
    differs = both.reason.ne(both.reason_expected)
    return list(both[differs].head(10).itertuples(index=False, name=None))
