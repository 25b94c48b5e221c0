"""What a language model that writes must offer, and the four ways in which asking it can fail.

The failures differ in what to do next: wait and ask again, leave this one text, stop asking, ask otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Prompt:
    """system: our own fixed instructions. data: a JSON object, foreign text. schema: of the answer."""

    system: str
    data: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the model wrote, unchecked; tokens read and written where the service counts them, else 0."""

    text: str
    tokens: int = 0


class LanguageModel(Protocol):
    """An endpoint or a local model. `complete` raises the errors below and no others."""

    @property
    def identity(self) -> str:
        """All that decides an answer besides the prompt; never a secret."""

    @property
    def at_once(self) -> int:
        """How many prompts may be under way at one time."""

    def complete(self, prompt: Prompt) -> Answer:
        """One answer; thread-safe where `at_once` is over 1."""


class GeneratorError(RuntimeError):
    """Asking did not lead to a text; the message says why and, where the user can act, what to do."""


class UnavailableError(GeneratorError):
    """The service did not answer; it may later. retry_after: seconds that it asked us to wait."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PromptRefusedError(GeneratorError):
    """The service refuses this prompt, by its length or its content; others may pass."""


class ServiceRefusedError(GeneratorError):
    """The service refuses every prompt until the user has acted: key, model name, endpoint."""


class WrongAnswerError(GeneratorError):
    """The model answered, but not with a text that can be used."""
