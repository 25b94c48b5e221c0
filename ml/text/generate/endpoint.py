"""A language model behind an OpenAI-compatible endpoint: `POST {endpoint}/chat/completions`.

What differs between services (OpenAI, vLLM, llama.cpp, Ollama) are optional fields: one that a service
rejects by name is left out from then on.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from ml.text.generate.contract import (
    Answer,
    Prompt,
    PromptRefusedError,
    ServiceRefusedError,
    UnavailableError,
)
from ml.text.generate.http import Response, post

AT_ONCE = 4
_LATER = {408, 409, 425, 429}
_THIS_PROMPT = {400, 413, 422}
# Quoted of a service's own words: enough to act on, too little to fill a log.
_QUOTED = 200


@dataclass
class Endpoint:
    """url: the base, such as https://api.openai.com/v1. key: sent to that host only, never shown or kept."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 30.0
    max_tokens: int = 120
    at_once: int = AT_ONCE
    _unsupported: set[str] = field(default_factory=set, init=False, repr=False)

    @property
    def identity(self) -> str:
        """Endpoint, model and length."""
        return f"{self.url.rstrip('/')} {self.model} {self.max_tokens}"

    def complete(self, prompt: Prompt) -> Answer:
        """Ask once; again at once only where the service does not know one of our optional fields."""
        self._require_safe_key()
        while True:
            fields = self._fields(prompt)
            response = self._post(fields)
            if response.status == 200:
                return self._answer(response)
            unknown = self._unknown_field(response, fields)
            if unknown is None:
                raise self._error(response)
            self._unsupported.add(unknown)

    def _require_safe_key(self) -> None:
        # http.client quotes a header that it cannot send in its error, and with it the key.
        if self.key and not (self.key.isascii() and self.key.isprintable()):
            raise ServiceRefusedError("the key holds characters that no key has; see generator.api_key_env")
        parts = urlsplit(self.url)
        if self.key and parts.scheme == "http" and not _is_this_machine(parts.hostname or ""):
            raise ServiceRefusedError(
                f"generator.endpoint is http:// on {parts.hostname}: the key would travel in the clear; use "
                "https://, or point generator.api_key_env to a variable that is not set"
            )

    def _fields(self, prompt: Prompt) -> dict[str, Any]:
        optional = {
            "temperature": 0,
            "max_tokens": self.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": dict(prompt.schema)},
            },
        }
        fields = {name: value for name, value in optional.items() if name not in self._unsupported}
        if "max_tokens" in self._unsupported and "max_completion_tokens" not in self._unsupported:
            fields["max_completion_tokens"] = self.max_tokens
        system = {"role": "system", "content": prompt.system}
        return {"model": self.model, "messages": [system, {"role": "user", "content": prompt.data}], **fields}

    def _post(self, fields: Mapping[str, Any]) -> Response:
        headers = {"Content-Type": "application/json", "User-Agent": "landbridge"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        address = self.url.rstrip("/") + "/chat/completions"
        try:
            return post(address, json.dumps(fields).encode(), headers, self.timeout)
        except ssl.SSLCertVerificationError as error:
            raise ServiceRefusedError(
                f"{self._host}: certificate not trusted: {error.verify_message}"
            ) from None
        except TimeoutError:
            raise UnavailableError(
                f"{self._host}: no answer in {self.timeout:g} s (generator.timeout_seconds)"
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnavailableError(
                f"{self._host}: {self._quoted(str(error) or type(error).__name__)}"
            ) from None

    def _answer(self, response: Response) -> Answer:
        try:
            document = json.loads(response.body)
            text = document["choices"][0]["message"]["content"]
            tokens = (document.get("usage") or {}).get("total_tokens", 0)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise UnavailableError(
                f"{self._host}: answered 200 with something that is no completion"
            ) from None
        # null where the model declined: an answer that holds no text.
        return Answer(text if isinstance(text, str) else "", tokens if isinstance(tokens, int) else 0)

    def _unknown_field(self, response: Response, fields: Mapping[str, Any]) -> str | None:
        if response.status not in _THIS_PROMPT:
            return None
        said = response.body.decode(errors="replace")
        optional = ("response_format", "temperature", "max_completion_tokens", "max_tokens")
        return next((name for name in optional if name in fields and name in said), None)

    def _error(self, response: Response) -> Exception:
        said = self._said(response)
        message = f"{self._host}: {response.status} {said}".rstrip()
        if response.status in _THIS_PROMPT:
            return PromptRefusedError(message)
        spent = response.status == 429 and b"insufficient_quota" in response.body
        if response.status >= 500 or (response.status in _LATER and not spent):
            return UnavailableError(message, retry_after(response.headers.get("retry-after")))
        return ServiceRefusedError(
            f"{message}; check generator.endpoint, generator.model and the key in generator.api_key_env"
        )

    def _said(self, response: Response) -> str:
        try:
            error = json.loads(response.body)["error"]
            return self._quoted(str(error["message"] if isinstance(error, dict) else error))
        except (ValueError, LookupError, TypeError, RecursionError):
            return ""

    def _quoted(self, words: str) -> str:
        """Foreign words fit for one line of a log, without the key that some services repeat."""
        if self.key:
            words = words.replace(self.key, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in words).split())[:_QUOTED]

    @property
    def _host(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3); None where it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
