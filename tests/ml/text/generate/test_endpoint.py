"""A service that misbehaves in every way we know of: each ends as one of four errors, in bounded time."""

from __future__ import annotations

import json
import logging
import time
from email.utils import formatdate

import generator_service as gs
import pytest

from ml.text.generate.contract import (
    GeneratorError,
    PromptRefusedError,
    ServiceRefusedError,
    UnavailableError,
)
from ml.text.generate.endpoint import Endpoint, retry_after
from ml.text.generate.tasks import DESCRIBE_ITEM

KEY = "sk-do-not-show-0123456789"
PROMPT = DESCRIBE_ITEM.prompt({"text": "knife"})


@pytest.fixture
def service():
    with gs.running() as running:
        yield running


def endpoint(service: gs.Service, timeout: float = 5.0) -> Endpoint:
    return Endpoint(service.url, "small", key=KEY, timeout=timeout, max_tokens=50)


def test_a_request_holds_the_prompt_and_the_key_in_its_place(service):
    answer = endpoint(service).complete(PROMPT)
    assert (json.loads(answer.text), answer.tokens) == ({"description": gs.GOOD}, 7)
    (asked,) = service.requests
    assert asked["path"] == "/v1/chat/completions"
    assert asked["headers"]["Authorization"] == f"Bearer {KEY}"
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("small", 50, 0)
    assert asked["messages"] == [
        {"role": "system", "content": PROMPT.system},
        {"role": "user", "content": PROMPT.data},
    ]
    assert asked["response_format"]["json_schema"]["schema"] == PROMPT.schema


def test_without_a_key_none_is_sent(service):
    Endpoint(service.url, "small").complete(PROMPT)
    assert "Authorization" not in service.requests[0]["headers"]


@pytest.mark.parametrize(
    "behave, says",
    [
        (gs.fails(500), "500 out of order"),
        (gs.fails(503), "503"),
        (gs.fails(429), "429"),
        (gs.closes_early, "IncompleteRead|more expected"),
        (gs.closes_at_once, "127.0.0.1"),
        (gs.floods, "larger than"),
        (lambda handler: handler.reply(b'{"choices": [{"mess'), "no completion"),
        (lambda handler: handler.reply(b"<html>Welcome to the hotel's network</html>"), "no completion"),
        (lambda handler: handler.reply(b'{"choices": []}'), "no completion"),
        (lambda handler: handler.reply(b'{"choices": [{"message": null}]}'), "no completion"),
        (lambda handler: handler.reply(b"[" * 200_000), "no completion"),
        (lambda handler: handler.reply(b"\xff\xfe\x00"), "no completion"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "127.0.0.1"),
    ],
)
def test_a_service_out_of_order_may_be_asked_later(service, behave, says):
    service.otherwise = behave
    with pytest.raises(UnavailableError, match=says):
        endpoint(service).complete(PROMPT)


@pytest.mark.parametrize("behave", [gs.hangs, gs.drips, gs.drips_body])
def test_the_deadline_holds_for_the_whole_answer(service, behave):
    service.otherwise = behave
    with pytest.raises(UnavailableError, match=r"no answer in 0.4 s \(generator.timeout_seconds\)"):
        endpoint(service, timeout=0.4).complete(PROMPT)


def test_nobody_listens():
    with gs.running() as service:
        gone = endpoint(service)
    with pytest.raises(UnavailableError, match="refused"):
        gone.complete(PROMPT)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_prompt_may_be_refused(service, status):
    service.otherwise = gs.fails(status, "content filter")
    with pytest.raises(PromptRefusedError, match="content filter"):
        endpoint(service).complete(PROMPT)


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_what_the_user_must_change_is_said(service, status):
    service.otherwise = gs.fails(status, Location=f"{service.url}/elsewhere")
    with pytest.raises(ServiceRefusedError, match=r"check generator\.endpoint, generator\.model and the key"):
        endpoint(service).complete(PROMPT)
    assert len(service.requests) == 1  # a redirect would take the key along


def test_a_spent_account_is_not_asked_again(service):
    body = b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'
    service.otherwise = lambda handler: handler.reply(body, 429)
    with pytest.raises(ServiceRefusedError, match="exceeded your quota"):
        endpoint(service).complete(PROMPT)


@pytest.mark.parametrize(
    "header, seconds",
    [("2", 2), ("1.5", 1.5), ("-3", 0), ("soon", None), ("inf", None), ("nan", None), ("", None)],
)
def test_retry_after_in_seconds(service, header, seconds):
    service.otherwise = gs.fails(429, Retry_After=header)
    with pytest.raises(UnavailableError) as caught:
        endpoint(service).complete(PROMPT)
    assert caught.value.retry_after == seconds


def test_retry_after_as_a_date():
    assert 55 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert retry_after(formatdate(0, usegmt=True)) == 0


def test_fields_that_a_service_does_not_know_are_left_out_from_then_on(service):
    renamed = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    service.script = [gs.fails(400, "response_format is not supported"), gs.fails(400, renamed)]
    asking = endpoint(service)
    for _ in range(2):
        asking.complete(PROMPT)
    optional = {"temperature", "max_tokens", "max_completion_tokens", "response_format"}
    assert [optional & set(asked) for asked in service.requests] == [
        {"temperature", "max_tokens", "response_format"},
        {"temperature", "max_tokens"},
        {"temperature", "max_completion_tokens"},
        {"temperature", "max_completion_tokens"},
    ]
    assert service.requests[-1]["max_completion_tokens"] == 50


@pytest.mark.parametrize(
    "behave",
    [
        gs.fails(401, f"Incorrect API key provided: {KEY}"),
        gs.fails(400, f"bad {KEY}"),
        gs.fails(500, f"{KEY}\n\x1b[31mforged line"),
        gs.hangs,
    ],
)
def test_the_key_is_never_shown(service, behave, caplog):
    service.otherwise = behave
    asking = endpoint(service, timeout=0.4)
    with caplog.at_level(logging.DEBUG), pytest.raises(GeneratorError) as caught:
        asking.complete(PROMPT)
    shown = f"{caught.value!r} {caught.value} {asking!r} {asking.identity} {caplog.text}"
    assert KEY not in shown
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_key_does_not_travel_in_the_clear():
    with pytest.raises(ServiceRefusedError, match="use https://"):
        Endpoint("http://models.example/v1", "small", key=KEY).complete(PROMPT)


def test_a_key_that_no_header_takes_is_not_quoted(service):
    with pytest.raises(ServiceRefusedError, match=r"generator\.api_key_env") as caught:
        Endpoint(service.url, "small", key=f"{KEY}\nX-Other: 1").complete(PROMPT)
    assert KEY not in str(caught.value)
    assert not service.requests
