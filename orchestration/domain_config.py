"""What landbridge.yaml says of one domain: its files, their columns, the weights and the cleaning rules."""

from __future__ import annotations

import codecs
import re
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator


class Model(BaseModel):
    """A part of the configuration: it cannot be changed, and a key that it does not know is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _regular_expression(text: str) -> str:
    import duckdb  # it runs the expression later, and knows fewer forms than Python's re

    try:
        with duckdb.connect() as connection:
            connection.execute("select regexp_full_match('', ?)", [text])
    except duckdb.Error as error:
        raise ValueError(f"not a regular expression (RE2): {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_regular_expression)]


class Files(Model):
    """Files of one kind: one file, or a glob.

    A column is the name of a column, or a SQL expression over the file's columns (all text, but typed in
    Parquet). `where` is such an expression too: only lines for which it is true belong to the domain, so
    that one file may feed several.
    """

    path: str
    format: Literal["csv", "jsonl", "parquet", "python"]
    where: str | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=4)
    column_names: list[str] | None = Field(default=None, min_length=1)
    quoting: bool = True
    encoding: str = "utf-8"

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding)  # LookupError also for a codec that is not for text, such as base64
            return codecs.lookup(encoding).name
        except LookupError:
            raise ValueError("expected an encoding that Python knows, such as utf-8 or latin-1") from None

    @model_validator(mode="after")
    def _dialect_is_for_text(self) -> Files:
        given = self.model_fields_set & {"delimiter", "column_names", "quoting"}
        if given and self.format != "csv":
            raise ValueError(f"{min(given)} is for format csv only; remove it (format is {self.format})")
        if len(self.delimiter) > 1 and "quoting" in given and self.quoting:
            raise ValueError("quoting has no meaning with a delimiter of several characters; remove it")
        if self.format == "parquet" and self.encoding != "utf-8":
            raise ValueError("encoding is for text files; remove it (format is parquet)")
        return self


class EventColumns(Model):
    """Which columns of the event files hold what; each is a name or an expression."""

    user: str
    item: str
    time: str
    event: str | None = None
    value: str | None = None
    quantity: str | None = None
    text: str | None = None


class EventFiles(Files):
    """A domain's event log: one file, a glob, or a `{date}` template (one file per calendar window).

    Times are numbers since 1970 when `time_unit` is set, text in `time_format` (strptime) when that is set,
    and ISO 8601 text otherwise; text without a zone is UTC.
    """

    columns: EventColumns
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    time_format: str | None = None
    default_event: str = "purchase"

    @model_validator(mode="after")
    def _one_clock(self) -> EventFiles:
        if self.time_unit and self.time_format:
            raise ValueError("time_unit (numbers) and time_format (text) exclude each other; keep one")
        return self

    @property
    def dated(self) -> bool:
        """Whether the path names one file per calendar window."""
        return "{date}" in self.path


class ItemColumns(Model):
    """Which columns of the item file hold what; `text` is joined in order, the first one is the title.

    available, category, region: what lists are filtered by. A region column may name several regions.
    """

    item: str
    text: list[str] = Field(default_factory=list)
    available: str | None = None
    category: str | None = None
    region: list[str] = Field(default_factory=list)

    @field_validator("region", mode="before")
    @classmethod
    def _one_is_a_list(cls, region: Any) -> Any:
        return [region] if isinstance(region, str) else region


class ItemFiles(Files):
    """A domain's catalogue."""

    columns: ItemColumns


class VectorColumns(Model):
    """Which columns of a modality's file hold the item and its vector, or the path of its image."""

    item: str
    vector: str | None = None
    image: str | None = None

    @model_validator(mode="after")
    def _one_content(self) -> VectorColumns:
        if (self.vector is None) == (self.image is None):
            raise ValueError("expected either vector (numbers) or image (a path), not both")
        return self


class Modality(Files):
    """What a domain knows of its items besides text, one row an item.

    Vectors come as they are (a list column in Parquet, a JSON array in text); images, by paths relative to
    the file that names them, go through the image encoder `model` (a Hugging Face id or a local folder).
    """

    columns: VectorColumns
    model: str | None = None
    revision: str | None = None

    @model_validator(mode="after")
    def _model_is_for_images(self) -> Modality:
        if (self.columns.image is None) != (self.model is None):
            raise ValueError("model belongs to columns.image: give both for images, neither for vectors")
        return self


class Reviews(Model):
    """What the text of events (`events.columns.text`) says about taste: how a review's sentiment is known.

    rating: from `events.columns.value` on `rating_scale`. model: a text classifier whose labels run from
    worst to best. none: every review counts alike.
    """

    sentiment: Literal["rating", "model", "none"] = "none"
    rating_scale: tuple[float, float] = (1, 5)
    model: str | None = None
    revision: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Reviews:
        if (self.sentiment == "model") != (self.model is not None):
            raise ValueError("model belongs to sentiment: model; give both or neither")
        if self.rating_scale[0] >= self.rating_scale[1]:
            raise ValueError(f"rating_scale {self.rating_scale}: expected [worst, best], worst < best")
        return self


class TextRules(Model):
    """How an item's columns become the text that the encoder reads.

    template: columns by name, such as "{title} | {brand} | {category}"; an empty column takes the separator
    before it along. Without one the columns stand on lines of their own. boilerplate_share: a sentence that
    more than this share of a domain's items repeat says nothing about any of them and is left out.
    """

    template: str | None = None
    emoji: Literal["keep", "drop"] = "keep"
    boilerplate_share: float | None = Field(default=0.2, gt=0, lt=1)


class UserColumns(Model):
    """Which columns of the user file hold what.

    sensitive: attributes that models read only where `blocks.sensitive` names them, beside those whose name
    says so.
    """

    user: str
    attributes: list[str] = Field(default_factory=list)
    sensitive: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _sensitive_are_attributes(self) -> UserColumns:
        if unknown := sorted(set(self.sensitive) - set(self.attributes)):
            raise ValueError(f"sensitive names {unknown[0]!r}; expected names of attributes")
        return self


class UserFiles(Files):
    """A domain's optional user attributes."""

    columns: UserColumns


class Bots(Model):
    """More than this by one user on one day (UTC) is no person: all its lines of that day are quarantined."""

    events_per_day: int | None = Field(default=None, ge=1)
    items_per_day: int | None = Field(default=None, ge=1)


class Cleaning(Model):
    """The rules a log owner decides on; what every log needs (unparsable, duplicate, ...) is no option."""

    near_duplicate_seconds: float | None = Field(default=None, gt=0)
    zero_value: Literal["keep", "reject"] = "keep"
    cancellations: dict[str, str] = Field(
        default_factory=lambda: {"cancel": "purchase", "return": "purchase"}
    )
    not_items: list[Pattern] = Field(default_factory=list)
    test_accounts: list[Pattern] = Field(default_factory=list)
    bots: Bots = Bots()
    session_gap_minutes: int = Field(default=30, ge=1)

    @field_validator("cancellations")
    @classmethod
    def _lower(cls, cancellations: dict[str, str]) -> dict[str, str]:
        return {event.strip().lower(): whole.strip().lower() for event, whole in cancellations.items()}


ModalityName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Domain(Model):
    """One product surface with its own catalogue and log."""

    events: EventFiles
    items: ItemFiles
    language: str = "en"
    event_weights: dict[str, float] = Field(default_factory=dict)
    users: UserFiles | None = None
    cleaning: Cleaning | None = None
    text: TextRules | None = None
    reviews: Reviews = Reviews()
    modalities: dict[ModalityName, Modality] = Field(default_factory=dict)
    bridges_from: list[str] | None = None

    @field_validator("language")
    @classmethod
    def _language_is_a_code(cls, language: str) -> str:
        if not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*", language):
            raise ValueError("expected a language code (ISO 639-1) such as en, zh or pt-BR")
        return language

    @model_validator(mode="after")
    def _default_event_weighs(self) -> Domain:
        default = self.events.default_event
        if self.event_weights and self.events.columns.event is None and default not in self.event_weights:
            raise ValueError(
                f"event_weights lacks the default_event {default!r}, so no event would count; add it"
            )
        return self

    @model_validator(mode="after")
    def _rating_is_mapped(self) -> Domain:
        if self.reviews.sentiment == "rating" and self.events.columns.value is None:
            raise ValueError("reviews.sentiment rating reads events.columns.value, which is not set; set it")
        return self

    @model_validator(mode="after")
    def _template_names_columns(self) -> Domain:
        template = self.text.template if self.text else None
        if template is not None:
            check_template(template, self.items.columns.text)
        return self


def template_columns(template: str) -> list[str]:
    """The columns that a template names, in order."""
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]


def check_template(template: str, columns: list[str]) -> None:
    """ValueError where a template names no text column, a column that is none, or leaves out the title."""
    named = template_columns(template)
    if unknown := [name for name in named if name not in columns]:
        raise ValueError(
            f"text.template names {unknown[0]!r}; expected columns of items.columns.text: {columns}"
        )
    if not columns or columns[0] not in named:
        raise ValueError("text.template leaves out the title, the first of items.columns.text; name it")
