"""landbridge.yaml as frozen models: every key, its default and its check, here and in parts beside it.

`domain_config` has what is said of one domain, `language_config` what is said of language models,
`blocks_config` of what models may read, `search_config` of the search for settings, `factors_config` of
factors, `retrieval_config` of indexes, `recommendations_config` of the lists served.

A fault is reported as one line that names the file, the key and what was expected, before anything runs.
"""

from __future__ import annotations

import os
import re
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from orchestration.blocks_config import Blocks
from orchestration.domain_config import Cleaning, Domain, Model, TextRules, check_template
from orchestration.factors_config import Factors
from orchestration.language_config import Encoder, Generator
from orchestration.promotion_config import Promotion
from orchestration.recommendations_config import Recommendations
from orchestration.retrieval_config import Retrieval
from orchestration.search_config import Search

DEFAULT_CONFIG = Path(__file__).parent.parent / "landbridge.yaml"
_ENV = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class ConfigError(Exception):
    """A configuration that cannot be used; `faults` holds one readable line per fault."""

    def __init__(self, path: Path, faults: list[str]) -> None:
        self.path, self.faults = path, faults
        super().__init__("\n".join(f"{path}: {fault}" for fault in faults))


class Calendar(Model):
    """The windows of the event partitions: [start, end) cut by `grain`; `end: null` means today."""

    grain: Literal["day", "week", "month"] = "day"
    start: date
    end: date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Calendar:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end ({self.end}) must lie after start ({self.start})")
        if self.grain == "month":
            for name, day in (("start", self.start), ("end", self.end)):
                if day is not None and day.day != 1:
                    raise ValueError(f"{name} ({day}) must be the first of a month when grain is month")
        if self.grain == "week" and self.start.weekday() != 6:
            raise ValueError(f"start ({self.start}) must be a Sunday when grain is week")
        return self

    def window_end(self, day: date) -> date:
        """The first day after the window that starts on `day`."""
        if self.grain == "month":
            return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        return day + timedelta(days=7 if self.grain == "week" else 1)


class Core(Model):
    """Leave users and items with fewer interactions out of training, again and again until none is left."""

    users: int = Field(default=1, ge=1)
    items: int = Field(default=1, ge=1)


class SnapshotRules(Model):
    """What of the interactions before as-of a model reads: all at full weight, unless this says otherwise."""

    half_life_days: float | None = Field(default=None, gt=0)
    k_core: Core | None = None


class IdentityMap(Model):
    """A CSV of `domain,user_id,shared_id` that says which users of the domains are one person."""

    map: str


class Evaluation(Model):
    """How candidates are measured: see docs/ALGORITHM.md."""

    k: int = Field(default=10, ge=1, le=1000)
    cold_user_fraction: float = Field(default=0.2, gt=0, lt=0.5)
    horizon: int = Field(default=1, ge=1)
    protocol: Literal["time", "last_fraction", "leave_one_out"] = "time"
    seed: int = 0


class Demo(Model):
    """The generated demo world, written under `path` when its files are missing."""

    size: str | int = "small"
    seed: int = Field(default=7, ge=0)
    path: str = "${LANDBRIDGE_HOME:-var}/demo"

    @field_validator("size")
    @classmethod
    def _known_size(cls, size: str | int) -> str | int:
        if size in ("tiny", "small") or (isinstance(size, int) and size >= 10):
            return size
        raise ValueError("expected tiny, small or a number of users from 10 on")


DomainName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Config(Model):
    """The whole of landbridge.yaml."""

    calendar: Calendar
    identity: Literal["shared", "per_domain"] | IdentityMap = "shared"
    encoder: Encoder = Encoder()
    domains: dict[DomainName, Domain] = Field(min_length=1)
    cleaning: Cleaning = Cleaning()
    text: TextRules = TextRules()
    generator: Generator | None = None
    snapshot: SnapshotRules = SnapshotRules()
    factors: Factors = Factors()
    evaluation: Evaluation = Evaluation()
    blocks: Blocks = Blocks()
    search: Search = Search()
    retrieval: Retrieval = Retrieval()
    recommendations: Recommendations = Recommendations()
    promotion: Promotion = Promotion()
    demo: Demo | None = None
    path: Path = Field(DEFAULT_CONFIG, exclude=True)

    @model_validator(mode="after")
    def _encoder_is_no_domain(self) -> Config:
        if self.encoder.adaptation is not None and "encoder" in self.domains:
            raise ValueError(
                "domains.encoder: landbridge-encoder is the fine-tuned encoder's name in MLflow; expected "
                "another name for the domain, or no encoder.adaptation"
            )
        return self

    @field_validator("domains")
    @classmethod
    def _bridges_exist(cls, domains: dict[str, Domain]) -> dict[str, Domain]:
        for name, domain in domains.items():
            for source in domain.bridges_from or []:
                if source == name or source not in domains:
                    raise ValueError(f"{name}.bridges_from names {source!r}; expected other domains")
        return domains

    @model_validator(mode="after")
    def _sensitive_are_attributes(self) -> Config:
        users = [domain.users.columns.attributes for domain in self.domains.values() if domain.users]
        if unknown := sorted(set(self.blocks.sensitive).difference(*users)):
            raise ValueError(
                f"blocks.sensitive names {unknown[0]!r}; expected attributes that some domain lists in "
                "users.columns.attributes"
            )
        return self

    @model_validator(mode="after")
    def _template_names_columns(self) -> Config:
        for name, domain in self.domains.items():
            if self.text.template is not None and (domain.text is None or domain.text.template is None):
                try:
                    check_template(self.text.template, domain.items.columns.text)
                except ValueError as error:
                    raise ValueError(f"domains.{name}: {error}") from None
        return self

    @cached_property
    def domain_names(self) -> list[str]:
        """Domain names, sorted: the keys of the `domain` and `target` partitions."""
        return sorted(self.domains)

    def sources(self, target: str) -> list[str]:
        """The domains that knowledge may cross from into `target`, sorted."""
        declared = self.domains[target].bridges_from
        return sorted(d for d in self.domains if d != target) if declared is None else sorted(declared)

    def cleaning_of(self, domain: str) -> Cleaning:
        """The cleaning rules of a domain: key by key its own or else the general ones."""
        own = self.domains[domain].cleaning
        given = {} if own is None else {key: getattr(own, key) for key in own.model_fields_set}
        return self.cleaning.model_copy(update=given)

    def text_of(self, domain: str) -> TextRules:
        """The text rules of a domain: key by key its own or else the general ones."""
        own = self.domains[domain].text
        given = {} if own is None else {key: getattr(own, key) for key in own.model_fields_set}
        return self.text.model_copy(update=given)

    def resolve(self, path: str) -> Path:
        """A path of the file as an absolute path: environment expanded, relative to the file's folder."""
        expanded = Path(expand_environment(path)).expanduser()
        return expanded if expanded.is_absolute() else (self.path.parent / expanded).resolve()


class Home:
    """Where all state lives: LANDBRIDGE_HOME, `var/` below the working directory by default."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or Path(os.environ.get("LANDBRIDGE_HOME", "var"))).expanduser().resolve()
        self.warehouse = self.root / "warehouse.duckdb"
        self.snapshots = self.root / "snapshots"
        self.embeddings = self.root / "embeddings"
        self.factors = self.root / "factors"
        self.transferability = self.root / "transferability"
        self.models = self.root / "models"
        self.recommendations = self.root / "recommendations"
        self.served = self.root / "served"
        self.observed = self.root / "observed"
        self.backtest = self.root / "backtest"
        self.mlflow = self.root / "mlflow"
        self.dagster = self.root / "dagster"

    @property
    def tracking_uri(self) -> str:
        """MLflow's SQLite backend."""
        return f"sqlite:///{self.mlflow / 'mlflow.db'}"


def expand_environment(text: str) -> str:
    """Replace `${NAME}` and `${NAME:-default}`; a name that is not set and has no default is a KeyError."""

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = os.environ.get(name) or default
        if found is None:
            raise KeyError(name)
        return found

    return _ENV.sub(value, text)


def as_of_time(day: date) -> int:
    """Midnight UTC at the start of `day`, in microseconds since epoch."""
    return int((datetime(day.year, day.month, day.day) - datetime(1970, 1, 1)).total_seconds() * 1_000_000)


def _fault_lines(error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors():
        parts = [str(part) for part in fault["loc"]]
        key = ".".join(p for p in parts if not p.startswith(("literal[", "IdentityMap", "[key]")))
        if fault["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key; see docs/CONFIGURATION.md for the keys that exist")
        elif fault["type"] == "missing":
            lines.append(f"{key}: missing; this key is required")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            got = fault.get("input")
            secret = key == "generator.endpoint"  # it may hold a password
            shown = "" if secret or isinstance(got, (dict, list, BaseModel)) else f" (got {got!r})"
            lines.append(f"{key or 'file'}: {message}{shown}")
    return [" ".join(line.split()) for line in lines]  # a key or a value may hold line breaks


def _unset_variables(value: Any, key: str = "") -> list[str]:
    """A fault for every path below `value` that names an environment variable which is not set."""
    if isinstance(value, dict):
        below = ((f"{key}.{name}" if key else str(name), inner) for name, inner in value.items())
        return [line for name, inner in below for line in _unset_variables(inner, name)]
    if isinstance(value, str) and key.endswith((".path", ".map")):
        try:
            expand_environment(value)
        except KeyError as error:
            name = error.args[0]
            return [f"{key}: {name} is not set; set it or write ${{{name}:-default}} (got {value!r})"]
    return []


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key given twice is a fault: the first one would be lost silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
        twice = sorted({k for k in keys if keys.count(k) > 1})
        if twice:
            fault = f"key {twice[0]!r} is given twice"
            raise yaml.constructor.ConstructorError(None, None, fault, node.start_mark)
        return super().construct_mapping(node, deep=deep)


def parse_config(document: Any, path: Path) -> Config:
    """Validate a parsed YAML document; ConfigError lists every fault."""
    if not isinstance(document, dict):
        raise ConfigError(path, ["expected a mapping with the keys calendar and domains"])
    if "path" in document:
        raise ConfigError(path, ["path: unknown key; see docs/CONFIGURATION.md for the keys that exist"])
    try:
        config = Config.model_validate({**document, "path": path})
    except ValidationError as error:
        raise ConfigError(path, _fault_lines(error)) from error
    if unset := _unset_variables(document):
        raise ConfigError(path, unset)
    return config


def load_config(path: str | Path | None = None) -> Config:
    """Read the configuration: `path`, else LANDBRIDGE_CONFIG, else the demo world's landbridge.yaml."""
    chosen = Path(path or os.environ.get("LANDBRIDGE_CONFIG") or DEFAULT_CONFIG).expanduser().resolve()
    if not chosen.is_file():
        raise ConfigError(chosen, ["no such file; pass --config or set LANDBRIDGE_CONFIG"])
    try:
        document = yaml.load(chosen.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2026-02-31
        raise ConfigError(chosen, [f"not valid YAML: {' '.join(str(error).split())}"]) from error
    return parse_config(document, chosen)
