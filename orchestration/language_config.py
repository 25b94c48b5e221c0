"""What landbridge.yaml says of language models: the encoder, its fine-tuning, and the model that writes."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from orchestration.domain_config import Model


class Adaptation(Model):
    """Fine-tuning of the encoder on the logs: LoRA on pairs of items that the same users took up together.

    contrastive: pairs with in-batch negatives. mlm: masked-language modelling on the item texts. Joined by +
    they run one after the other.
    """

    objective: Literal["contrastive", "mlm", "mlm+contrastive"] = "contrastive"
    rank: int = Field(default=8, ge=1, le=256)
    pairs: int = Field(default=20_000, ge=100)
    epochs: int = Field(default=1, ge=1)
    batch: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=5e-4, gt=0)


class Encoder(Model):
    """The language model that embeds item text, and whether it is fine-tuned on the logs.

    pooling auto: what the model's own files say, else the mean, or the last token of a decoder.
    """

    model: str = "embedded"
    revision: str | None = None
    max_tokens: int = Field(default=256, ge=8)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    document_prefix: str = ""
    query_prefix: str = ""
    adaptation: Adaptation | None = None


class Generator(Model):
    """A language model that writes: descriptions of items with poor text, summaries of users' interests.

    endpoint: base URL of an OpenAI-compatible service, its key in the environment variable `api_key_env`;
    without one `model` is a Hugging Face id or folder that runs here. max_requests: the budget of one run.
    """

    model: str
    endpoint: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    revision: str | None = None
    writes: frozenset[Literal["items", "users"]] = frozenset({"items"})
    poor_words: int = Field(default=4, ge=1)
    max_requests: int = Field(default=1000, ge=1)
    max_tokens: int = Field(default=120, ge=8)
    timeout_seconds: float = Field(default=30, gt=0)
    retries: int = Field(default=3, ge=0, le=10)

    @field_validator("endpoint")
    @classmethod
    def _is_base_url(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        try:
            parts = urlsplit(endpoint)
            sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # half an IPv6 address, a port that is no number
            sound = False
        if not sound or parts.query or parts.fragment:
            raise ValueError("expected the base URL of a service, such as https://api.openai.com/v1")
        if "@" in parts.netloc:  # an endpoint is shown in logs and metadata
            raise ValueError("holds credentials; put the key into the variable that api_key_env names")
        return endpoint
