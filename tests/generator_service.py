"""A language model service on this machine that answers as a test says: well, badly, late or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = "A sturdy knife for bread and other food with a crust."
Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request; what follows is up to the service's script."""

    server: Service
    asked: dict[str, Any]

    def do_POST(self) -> None:
        self.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append({"path": self.path, "headers": dict(self.headers), **self.asked})
            behave = self.server.script.pop(0) if self.server.script else self.server.otherwise
        behave(self)

    def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


class Service(ThreadingHTTPServer):
    """`script`: behaviours of the first requests; `otherwise`: of all that follow."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.script: list[Behaviour] = []
        self.otherwise: Behaviour = says(GOOD)
        self.lock, self.closing = threading.Lock(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up on a misbehaving service is what these tests are about."""


@contextmanager
def running() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        service.closing.set()
        service.shutdown()
        thread.join()
        service.server_close()


def completion(content: str | None) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"message": message}], "usage": {"total_tokens": 7}}).encode()


def says(text: str, field: str = "description") -> Behaviour:
    """A right answer."""
    return answers(json.dumps({field: text}))


def answers(content: str | None) -> Behaviour:
    """A completion whose content is whatever the test likes."""
    return lambda handler: handler.reply(completion(content))


def fails(status: int, message: str = "out of order", **headers: str) -> Behaviour:
    """An HTTP error in OpenAI's words."""
    body = json.dumps({"error": {"message": message}}).encode()
    return lambda handler: handler.reply(body, status, **headers)


def hangs(handler: Handler) -> None:
    """No byte, until the client or the test gives up."""
    handler.server.closing.wait(30)


def drips(handler: Handler) -> None:
    """A header that never ends: each byte comes well within a socket's timeout."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.server.closing.wait(0.05):
        handler.wfile.write(b"x")


def drips_body(handler: Handler) -> None:
    """A body without a length, which looks whole whenever the connection ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + completion(json.dumps({"description": GOOD})))
    while not handler.server.closing.wait(0.05):
        handler.wfile.write(b" ")


def closes_early(handler: Handler) -> None:
    """Half of the bytes that it announced."""
    body = completion(json.dumps({"description": GOOD}))
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])


def closes_at_once(handler: Handler) -> None:
    """No HTTP at all."""
    handler.connection.close()


def floods(handler: Handler) -> None:
    """More than anybody should read into memory."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(64):
        handler.wfile.write(b" " * (1 << 20))
