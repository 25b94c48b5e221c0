"""Ask for many texts within a budget: cached ones first, each answer checked, failures counted, never raised.

A service that is down is met by every text in turn; so after a few failures in a row the run stops asking.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ml.text.generate.cache import AnswerCache, key_of
from ml.text.generate.contract import (
    GeneratorError,
    LanguageModel,
    PromptRefusedError,
    UnavailableError,
    WrongAnswerError,
)
from ml.text.generate.tasks import Task

Progress = Callable[[int, int], None]
Data = Mapping[str, str]
# Why a text was not written.
UNAVAILABLE, REFUSED, WRONG, BUDGET, STOPPED = "unavailable", "refused", "wrong answer", "budget", "stopped"
# Texts in a row that fail for one reason, after which the next one will fare no better.
_IN_A_ROW = {UNAVAILABLE: 3, REFUSED: 20, WRONG: 20}
FIRST_WAIT, LONGEST_WAIT = 1.0, 120.0


@dataclass(frozen=True)
class Limits:
    """requests: asked of the model in all, repeats included. retries: repeats of one text."""

    requests: int = 1000
    retries: int = 3


@dataclass
class Written:
    """texts: one per input, None where there is none. given_up: reason to number of distinct texts.

    cached, new: distinct texts. faults: the last message of each reason. tokens: as the service counts them.
    """

    texts: list[str | None]
    cached: int = 0
    new: int = 0
    requests: int = 0
    tokens: int = 0
    given_up: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)


class Session:
    """The budget and the state of one service, shared by the threads that ask it.

    One session serves all domains of a run, so that a budget is a run's and a service that is down is met
    once. `sleep` is for tests.
    """

    def __init__(self, limits: Limits | None = None, sleep: Callable[[float], object] = time.sleep) -> None:
        self.limits, self._sleep = limits or Limits(), sleep
        self.requests, self.tokens = 0, 0
        self.stopped: str | None = None
        self._resume_at = 0.0
        self._in_a_row: Counter[str] = Counter()
        self._lock = threading.Lock()

    def admit(self) -> str | None:
        """Take one request out of the budget and wait for the service's turn; else why it may not be sent."""
        with self._lock:
            if self.stopped:
                return STOPPED
            if self.requests >= self.limits.requests:
                return BUDGET
            self.requests += 1
            wait = self._resume_at - time.monotonic()
        if wait > 0:
            self._sleep(wait)
        return None

    def pause(self, seconds: float) -> None:
        """Nobody asks for so long; the session ends where that is longer than a run can wait."""
        with self._lock:
            if seconds > LONGEST_WAIT:
                self.stopped = f"the service asks to wait {seconds:,.0f} s; a later run goes on from here"
            self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    def answered(self, tokens: int) -> None:
        """The service is there."""
        with self._lock:
            self.tokens += tokens
            self._in_a_row[UNAVAILABLE] = self._in_a_row[REFUSED] = 0

    def wrote(self) -> None:
        """The model can do what it is asked."""
        with self._lock:
            self._in_a_row.clear()

    def gave_up(self, reason: str, fault: str) -> None:
        """Count a text without an answer; the session ends after too many in a row."""
        with self._lock:
            self._in_a_row[reason] += 1
            if self._in_a_row[reason] >= _IN_A_ROW[reason]:
                self.stopped = self.stopped or f"{self._in_a_row[reason]} in a row: {fault}"

    def stop(self, fault: str) -> None:
        """End the session: asking again changes nothing."""
        with self._lock:
            self.stopped = fault


@dataclass(frozen=True)
class _Outcome:
    text: str | None
    reason: str = ""
    fault: str = ""


def write_texts(
    model: LanguageModel,
    task: Task,
    inputs: Sequence[Data],
    cache: AnswerCache,
    session: Session,
    on_progress: Progress | None = None,
) -> Written:
    """One text for every input, from the cache or the model; no GeneratorError leaves.

    Equal inputs are one question. Questions never asked come before those that were given up in an earlier
    run, so that a few hopeless ones cannot eat every run's budget. `on_progress(done, total)` counts
    questions asked.
    """
    try:
        identity = model.identity
    except GeneratorError as error:
        session.stop(str(error))
        return Written(
            [None] * len(inputs), given_up=Counter({STOPPED: len(inputs)}), faults={STOPPED: str(error)}
        )
    keys = [key_of(identity, task.prompt(data)) for data in inputs]
    data_of = dict(zip(keys, inputs, strict=True))
    known = cache.read(data_of)
    open_keys = sorted((key for key in data_of if known.get(key) is None), key=known.__contains__)
    spent = session.requests, session.tokens
    written = Written([], cached=len(data_of) - len(open_keys))
    asked = _ask_all(model, task, [data_of[key] for key in open_keys], session)
    for done, (key, outcome) in enumerate(zip(open_keys, asked, strict=True), start=1):
        if outcome.text is not None or outcome.reason in (WRONG, REFUSED):
            cache.write(key, outcome.text)
        if outcome.text is not None:
            known[key] = outcome.text
            written.new += 1
        else:
            written.given_up[outcome.reason] += 1
            written.faults[outcome.reason] = outcome.fault
        if on_progress:
            on_progress(done, len(open_keys))
    written.texts = [known.get(key) for key in keys]
    written.requests, written.tokens = session.requests - spent[0], session.tokens - spent[1]
    return written


def _ask_all(
    model: LanguageModel, task: Task, inputs: Sequence[Data], session: Session
) -> Iterator[_Outcome]:
    """Outcomes in the order of `inputs`."""
    if model.at_once == 1:
        yield from (_ask(model, task, data, session) for data in inputs)
        return
    with ThreadPoolExecutor(model.at_once, thread_name_prefix="generate") as threads:
        try:
            yield from threads.map(lambda data: _ask(model, task, data, session), inputs)
        except BaseException:  # interrupted: what is not under way is not asked any more
            session.stop("interrupted")
            raise


def _ask(model: LanguageModel, task: Task, data: Data, session: Session) -> _Outcome:
    """Ask for one text until it can be used, or there is no sense in asking again."""
    reason, fault, remark = UNAVAILABLE, "", None
    for attempt in range(session.limits.retries + 1):
        if (barred := session.admit()) is not None:
            return _Outcome(None, barred, session.stopped or "max_requests is used up")
        try:
            answer = model.complete(task.prompt(data, remark))
            session.answered(answer.tokens)
            text = task.read(answer.text)
        except WrongAnswerError as error:
            reason, fault, remark = WRONG, str(error), str(error)
        except UnavailableError as error:
            reason, fault = UNAVAILABLE, str(error)
            session.pause(FIRST_WAIT * 2**attempt if error.retry_after is None else error.retry_after)
        except PromptRefusedError as error:
            reason, fault = REFUSED, str(error)
            break
        except GeneratorError as error:  # ServiceRefusedError, or one that nobody foresaw
            session.stop(str(error))
            return _Outcome(None, STOPPED, str(error))
        else:
            session.wrote()
            return _Outcome(text)
    session.gave_up(reason, fault)
    return _Outcome(None, reason, fault)
