"""A home that `landbridge run` has prepared, opened to measure on: what training reads, asked as it asks.

Imported before torch by every benchmark that reads a home: the environment it sets is read once.
"""

from __future__ import annotations

import os

# Spinning threads collapse throughput when another process wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from ml.bridge import TrainSettings
from ml.bridge.protocol import Protocol
from ml.bridge.train import protocol_of
from ml.data import Snapshot
from orchestration.config import Config


def parser(text: str) -> argparse.ArgumentParser:
    """The options that say which home, which snapshot and which targets; text: the benchmark's docstring."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(made)
    return made


def add_options(to: argparse.ArgumentParser) -> None:
    """The same options for a parser that has others too."""
    to.add_argument("--config", required=True)
    to.add_argument("--home", required=True, help="where `landbridge run` has got as far as the embeddings")
    to.add_argument("--as-of", help="an as-of key; the newest snapshot if left out")
    to.add_argument("--target", action="append", help="a target; all of the configuration if left out")


@dataclass(frozen=True)
class Prepared:
    """key: the as-of. settings: those of every training on this snapshot. targets: the ones asked for."""

    key: str
    config: Config
    snapshot: Snapshot
    settings: TrainSettings
    targets: list[str]

    @property
    def k(self) -> int:
        """Length of a list."""
        return self.settings.k

    def protocols(self, span: int | None = None) -> Iterator[Protocol]:
        """The splits of each target; span: microseconds that they hide, if not those of the configuration."""
        settings = self.settings if span is None else replace(self.settings, horizon=span)
        for target in self.targets:
            yield protocol_of(self.snapshot, target, self.config.sources(target), settings)[0]


def opened(args: argparse.Namespace) -> Prepared:
    """What `args` of `parser` name; the snapshot with its embeddings."""
    # Before the imports below: they read both once.
    os.environ["LANDBRIDGE_CONFIG"], os.environ["LANDBRIDGE_HOME"] = args.config, args.home
    from orchestration.config import Home, load_config
    from orchestration.defs.transfer import train_settings
    from orchestration.features import embedded_snapshot

    config, home = load_config(args.config), Home()
    found = sorted(path.stem for path in (home.snapshots / "as_of").glob("*.json"))
    if not found:
        raise SystemExit(f"{home.root} holds no snapshot: `landbridge run --config {args.config}` makes one")
    key = args.as_of or found[-1]
    settings = train_settings(config, date.fromisoformat(key))
    targets = args.target or config.domain_names
    return Prepared(key, config, embedded_snapshot(key, config, home), settings, targets)
