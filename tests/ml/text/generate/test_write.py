"""Many texts through a misbehaving service: what is asked, how often, with what waits, and what is kept."""

from __future__ import annotations

import json
import sqlite3
import threading

import generator_service as gs
import pytest

from ml.text.generate import DESCRIBE_ITEM, AnswerCache, Limits, Session, write_texts
from ml.text.generate.endpoint import Endpoint
from ml.text.generate.write import LONGEST_WAIT

ITEMS = [{"text": "knife"}, {"text": "spoon"}, {"text": "fork"}]


@pytest.fixture
def service():
    with gs.running() as running:
        yield running


@pytest.fixture
def cache(tmp_path) -> AnswerCache:
    return AnswerCache(tmp_path / "answers.sqlite")


def endpoint(service: gs.Service, at_once: int = 1) -> Endpoint:
    return Endpoint(service.url, "small", timeout=0.5, at_once=at_once)


class Waits(list):
    """A session's `sleep` that only notes, to the tenth of a second."""

    def __call__(self, seconds: float) -> None:
        self.append(round(seconds, 1))


def written(service, cache, items=ITEMS, at_once=1, waits=None, **limits):
    session = Session(Limits(**limits), sleep=Waits() if waits is None else waits)
    return write_texts(endpoint(service, at_once), DESCRIBE_ITEM, items, cache, session)


def test_each_question_is_asked_once_and_never_again(service, cache):
    first = written(service, cache, [*ITEMS, ITEMS[0]])
    assert first.texts == [gs.GOOD] * 4
    assert (first.new, first.cached, first.requests, first.tokens) == (3, 0, 3, 21)
    second = written(service, cache, [ITEMS[0], {"text": "ladle"}])
    assert (second.new, second.cached, second.requests) == (1, 1, 1)
    assert len(service.requests) == 4


def test_another_model_or_prompt_is_another_question(service, cache):
    written(service, cache)
    other = Endpoint(service.url, "large", at_once=1)
    assert write_texts(other, DESCRIBE_ITEM, ITEMS, cache, Session()).new == 3


def test_waits_grow_and_a_service_that_comes_back_is_used(service, cache):
    service.script = [gs.fails(500), gs.closes_early, gs.hangs]
    waits = Waits()
    assert written(service, cache, ITEMS[:1], waits=waits, retries=3).texts == [gs.GOOD]
    assert waits == [1.0, 2.0, 4.0]


def test_retry_after_is_honoured(service, cache):
    service.script = [gs.fails(429, Retry_After="7"), gs.fails(503, Retry_After="0")]
    waits = Waits()
    assert written(service, cache, ITEMS[:1], waits=waits).texts == [gs.GOOD]
    # Nothing slept really, so the 7 s still stand when the service says "at once".
    assert waits == [7.0, 7.0]


def test_a_wait_longer_than_a_run_ends_it(service, cache):
    service.script = [gs.says(gs.GOOD), gs.fails(429, Retry_After=str(LONGEST_WAIT + 1))]
    result = written(service, cache)
    assert result.texts == [gs.GOOD, None, None]
    assert result.given_up == {"stopped": 2}
    assert "asks to wait 121 s" in result.faults["stopped"]
    assert len(service.requests) == 2


def test_a_service_that_is_down_is_met_by_three_texts_and_no_more(service, cache):
    service.otherwise = gs.fails(500)
    result = written(service, cache, [{"text": str(n)} for n in range(50)], retries=1)
    assert result.given_up == {"unavailable": 3, "stopped": 47}
    assert result.requests == 6
    assert "500 out of order" in result.faults["unavailable"]


def test_the_second_domain_of_a_run_does_not_ask_a_service_that_was_down(service, cache):
    session = Session(Limits(retries=0), sleep=Waits())
    service.otherwise = gs.fails(500)
    write_texts(endpoint(service), DESCRIBE_ITEM, ITEMS, cache, session)
    result = write_texts(endpoint(service), DESCRIBE_ITEM, [{"text": "cup"}], cache, session)
    assert (result.given_up, result.requests) == ({"stopped": 1}, 0)


def test_a_wrong_key_is_tried_once(service, cache):
    service.otherwise = gs.fails(401, "no such key")
    result = written(service, cache)
    assert result.given_up == {"stopped": 3}
    assert len(service.requests) == 1
    assert "no such key" in result.faults["stopped"]


def test_a_refused_prompt_is_not_repeated_and_the_next_one_is_asked(service, cache):
    service.script = [gs.fails(400, "content filter")]
    result = written(service, cache)
    assert result.texts == [None, gs.GOOD, gs.GOOD]
    assert (result.given_up, len(service.requests)) == ({"refused": 1}, 3)


def test_the_budget_counts_repeats_and_the_next_run_goes_on(service, cache):
    service.script = [gs.fails(500)]
    first = written(service, cache, requests=3)
    assert first.texts == [gs.GOOD, gs.GOOD, None]
    assert (first.given_up, first.requests) == ({"budget": 1}, 3)
    assert written(service, cache).texts == [gs.GOOD] * 3


def test_what_was_given_up_comes_last_in_the_next_run(service, cache):
    service.otherwise = gs.answers("I cannot answer that.")
    assert written(service, cache, ITEMS[:2], retries=0).given_up == {"wrong answer": 2}
    service.otherwise = gs.says(gs.GOOD)
    assert written(service, cache, requests=1).texts == [None, None, gs.GOOD]
    assert written(service, cache).texts == [gs.GOOD] * 3


def test_a_wrong_answer_is_asked_for_again_with_the_reason(service, cache):
    service.script = [gs.answers('{"text": "A knife."}')]
    assert written(service, cache, ITEMS[:1]).texts == [gs.GOOD]
    systems = [asked["messages"][0]["content"] for asked in service.requests]
    assert "could not be used" not in systems[0]
    assert "the answer lacks 'description'" in systems[1]


@pytest.mark.parametrize(
    "content",
    [
        '{"description": "A sturdy knife for bread and other food',
        "A sturdy knife for bread and other food with a crust.",
        json.dumps({"description": 7}),
        json.dumps({"description": gs.GOOD, "rank": 1}),
        json.dumps([gs.GOOD]),
        json.dumps({"description": "word " * 100_000}),
        json.dumps({"description": "x"}),
        json.dumps({"description": gs.GOOD + " Now at www.evil.example!"}),
        '{"description": "A sturdy knife \\ud800 for bread and other food."}',
        '{"description":' * 5000,
        "",
        None,
    ],
)
def test_what_is_no_answer_leaves_the_item_as_it_is(service, cache, content):
    service.otherwise = gs.answers(content)
    result = written(service, cache, ITEMS[:1], retries=1)
    assert (result.texts, result.given_up) == ([None], {"wrong answer": 1})
    assert len(service.requests) == 2


def test_a_model_that_cannot_do_it_is_not_asked_for_every_item(service, cache):
    service.otherwise = gs.answers("no")
    result = written(service, cache, [{"text": str(n)} for n in range(100)], retries=0)
    assert result.given_up == {"wrong answer": 20, "stopped": 80}


@pytest.mark.parametrize("at_once", [1, 4])
def test_texts_belong_to_their_items_however_many_are_under_way(service, cache, at_once):
    def repeats(handler: gs.Handler) -> None:
        word = json.loads(handler.asked["messages"][1]["content"])["text"]
        gs.says(f"This item here is number {word} of all.")(handler)

    service.otherwise = repeats
    items = [{"text": str(n)} for n in range(40)]
    result = written(service, cache, items, at_once=at_once)
    assert result.texts == [f"This item here is number {n} of all." for n in range(40)]


def test_several_are_under_way_at_once(service, cache):
    together = threading.Barrier(4, timeout=5)

    def meets(handler: gs.Handler) -> None:
        together.wait()
        gs.says(gs.GOOD)(handler)

    service.otherwise = meets
    model = Endpoint(service.url, "small", timeout=5, at_once=4)
    items = [{"text": str(n)} for n in range(8)]
    assert write_texts(model, DESCRIBE_ITEM, items, cache, Session(Limits(retries=0))).new == 8


def test_a_torn_cache_is_set_aside_and_asked_for_again(service, cache):
    written(service, cache)
    cache.path.write_bytes(b"not a database" * 500)
    with pytest.warns(UserWarning, match="damaged"):
        assert written(service, cache).new == 3
    assert cache.path.with_suffix(".damaged").exists()
    assert written(service, cache).cached == 3


def test_neither_key_nor_catalogue_stands_in_the_cache(service, cache):
    key = "sk-do-not-keep"
    write_texts(Endpoint(service.url, "small", key=key), DESCRIBE_ITEM, ITEMS, cache, Session())
    with sqlite3.connect(cache.path) as connection:
        rows = connection.execute("select * from answers").fetchall()
    connection.close()
    assert {text for _, text in rows} == {gs.GOOD}
    for word in (key, "knife"):
        assert word.encode() not in cache.path.read_bytes().replace(gs.GOOD.encode(), b"")
