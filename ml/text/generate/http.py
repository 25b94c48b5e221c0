"""One POST over the standard library that always ends: by a deadline for the whole of it and a size limit.

urllib and http.client limit the wait for each packet only, so that a server which sends a byte now and then
holds its caller for ever; and urllib follows redirects with the Authorization header on. This does neither.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

LARGEST_ANSWER = 1 << 20


@dataclass(frozen=True)
class Response:
    """status, headers (names in lower case) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Response:
    """Send and read within `timeout` seconds; the body at most LARGEST_ANSWER bytes.

    Raises TimeoutError, OSError (network, TLS), http.client.HTTPException (no HTTP, or cut short) and
    ValueError where the body is larger.
    """
    parts = urlsplit(url)
    ends = time.monotonic() + timeout
    connection = _connection(parts, timeout)
    try:
        connection.connect()
        with _cut_off(connection.sock, ends - time.monotonic()):
            connection.request("POST", parts.path, body, {**headers, "Connection": "close"})
            answer = connection.getresponse()
            content = answer.read(LARGEST_ANSWER + 1)
    finally:
        connection.close()
    if len(content) > LARGEST_ANSWER:
        raise ValueError(f"the answer is larger than {LARGEST_ANSWER:,} bytes")
    if answer.length:  # fewer bytes came than the server announced
        raise http.client.IncompleteRead(content, answer.length)
    return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, content)


def _connection(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    if parts.hostname is None:
        raise ValueError("the address has no host")
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)


@contextlib.contextmanager
def _cut_off(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Shut the socket after so many seconds: whoever waits for it wakes up, with TimeoutError."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        with contextlib.suppress(OSError):  # closed meanwhile
            # Not SSLSocket's own, which takes the TLS state away from the thread that reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, seconds), expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if not expired.is_set():
            raise
        raise TimeoutError("the deadline has passed") from error
    finally:
        timer.cancel()
    if expired.is_set():  # a body that ends with the connection looks whole when it is cut
        raise TimeoutError("the deadline has passed")
