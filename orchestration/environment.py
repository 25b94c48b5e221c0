"""What a process must know before it imports the definitions: configuration, home, Dagster's instance.

`orchestration.partitions` reads the configuration at import, so whoever starts a run or a server calls
`prepare` first. Child processes inherit it all through the environment.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from orchestration.config import Config, ConfigError, Home, load_config

REPOSITORY = Path(__file__).parent.parent
OWNER_FILE = "configuration"

DAGSTER_YAML = """\
# Written by Landbridge because it was missing; yours to change from here on.
telemetry:
  enabled: false
# No sign-up form before the first page.
nux:
  enabled: false
concurrency:
  # DuckDB takes one writer: every asset that opens the warehouse is in the pool `warehouse`.
  pools:
    default_limit: 1
    granularity: op
  runs:
    max_concurrent_runs: 4
# Thousands of partitions make thousands of events; this log writes them together.
event_log_storage:
  module: orchestration.event_log
  class: BulkSqliteEventLogStorage
  config:
    home: {env: DAGSTER_HOME}
# A run that was killed gives its place in the pool back.
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 30
"""

_DEFAULTS = {
    "DAGSTER_EVENT_BATCH_SIZE": "500",
    "HF_HUB_OFFLINE": "1",  # the embedded encoder needs no hub; one out of reach costs minutes
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin collapse throughput when processes share the cores
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    # For child processes what `_keep_freed_memory` is for this one.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def prepare(config: str | Path | None = None, home: str | Path | None = None) -> tuple[Config, Home]:
    """Read the configuration, create the home and set the environment for this process and its children.

    Raises ConfigError where the configuration is at fault or the home holds another configuration's state.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    _keep_freed_memory()
    place = Home(Path(home) if home else None)
    # Absolute from here on: the configuration's folder and the working directory may differ.
    os.environ["LANDBRIDGE_HOME"] = str(place.root)
    settings = load_config(config)
    os.environ["LANDBRIDGE_CONFIG"] = str(settings.path)
    os.environ["DAGSTER_HOME"] = str(place.dagster)
    _claim(place, settings)
    place.dagster.mkdir(parents=True, exist_ok=True)
    dagster_yaml = place.dagster / "dagster.yaml"
    if not dagster_yaml.exists():
        dagster_yaml.write_text(DAGSTER_YAML)
    return settings, place


def _keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of handing each back to the kernel and faulting it in again.

    Training allocates and frees matrices of tens of MB all the time. Training food_kitchen's kitchen on two
    cores: 92.8 s without, 68.0 s with (system time 41.5 s and 8.3 s), peak memory 2.1 GB and 2.7 GB.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another libc: nothing to tune
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def require_sources(config: Config) -> None:
    """Raise ConfigError where a file or a column that the configuration names is not there.

    The demo world's files are written by the run itself, so they need not exist before it.
    """
    from orchestration.landing.sources import check_sources

    if config.demo is None and (faults := check_sources(config)):
        raise ConfigError(config.path, [fault.removeprefix(f"{config.path}: ") for fault in faults])


def owner_of(home: Home, config: str | Path | None = None) -> Config:
    """The configuration that a home belongs to, `config` where it belongs to none yet; changes nothing.

    Raises ConfigError where `config` is another one: a rule of the home could be got round with it.
    """
    owner = home.root / OWNER_FILE
    if not owner.exists():
        return load_config(config)
    settings = load_config(config or owner.read_text().strip())
    _claim(home, settings)
    return settings


def _claim(home: Home, config: Config) -> None:
    """Bind the home to its configuration: two sets of domains in one warehouse would train on each other."""
    owner = home.root / OWNER_FILE
    if not owner.exists():
        home.root.mkdir(parents=True, exist_ok=True)
        owner.write_text(f"{config.path}\n")
    elif (other := owner.read_text().strip()) != str(config.path):
        fault = (
            f"{home.root} holds the state of {other}; give each configuration its own --home"
            f" (or delete {owner} if the file only moved)"
        )
        raise ConfigError(config.path, [fault])
