"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def place_options(command: F) -> F:
    """The options that say which configuration and which state."""
    command = click.option(
        "--home",
        type=click.Path(file_okay=False),
        help="The folder that holds all state. Default: LANDBRIDGE_HOME, else var/ in the working directory.",
    )(command)
    return click.option(
        "--config",
        "config_path",
        type=click.Path(dir_okay=False),
        help="The configuration file. Default: LANDBRIDGE_CONFIG, else the demo world's landbridge.yaml.",
    )(command)
