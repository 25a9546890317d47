"""What the stand-ins for services share: a local HTTP server, limits, and faults on command."""

import json
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from shared.clock import Clock, SystemClock

# Differences of times in floating point are off by less than this.
_ROUNDING_S = 1e-6


class FaultKind(StrEnum):
    """What goes wrong."""

    SERVER_ERROR = "server error"
    NO_ANSWER = "no answer"
    LOST_ANSWER = "lost answer"
    GARBAGE = "garbage"
    RATE_LIMITED = "rate limited"


@dataclass(frozen=True)
class Fault:
    """What is wrong with one answer.

    Attributes:
        kind: server error (`status`, a body that is no JSON); no answer (nothing is accepted, the client
            waits); lost answer (the message is accepted, the connection is cut); garbage (200 with a proxy's
            page); rate limited (429, with `retry_after_s`).
        status: of a server error.
        retry_after_s: of a 429.
    """

    kind: FaultKind
    status: int = 502
    retry_after_s: int = 1


@dataclass(frozen=True)
class Request:
    """What came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What goes out. Without a status, the connection is cut instead."""

    status: int | None
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Bucket:
    """A token bucket.

    Args:
        per_s: tokens that come back each second.
        burst: most tokens that it holds.
    """

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._seen_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait for a token, 0 when there is one."""
        if self._seen_s is not None:
            self._tokens = min(self._burst, self._tokens + (now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s
        wait_s = (1 - self._tokens) / self._per_s
        return wait_s if wait_s > _ROUNDING_S else 0.0

    def take(self) -> None:
        """Take a token."""
        self._tokens -= 1


class StandIn:
    """A local server; a context manager that runs it in a thread on a free port of the loopback.

    Attributes:
        attempts: requests that came in, answered or not.
        impatient: of these, those that came before the end of a wait that their chat was asked for.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.attempts = 0
        self.impatient = 0
        self._closed_until_s: dict[str, float] = {}
        self.lock = threading.RLock()
        self._faults: deque[Fault] = deque()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # Handlers wait for the next request of a connection that their client keeps open.
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def origin(self) -> str:
        """Scheme, address and port."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail_next(self, *faults: Fault) -> None:
        """Answer the next requests with these faults, one each."""
        with self.lock:
            self._faults.extend(faults)

    def answer(self, request: Request) -> Reply:
        """Return the answer to a request that no fault is meant for."""
        raise NotImplementedError

    def rate_limited(self, retry_after_s: int) -> Reply:
        """Return the answer that asks to wait."""
        raise NotImplementedError

    def place(self, request: Request) -> str:
        """Return the chat or channel that a request is for; waits are asked for by it."""
        return request.path

    def aside(self, request: Request) -> Reply | None:
        """Return the answer to a request that is no delivery: not locked, not counted, without faults."""
        del request
        return None

    @property
    def is_released(self) -> bool:
        """Whether the server is about to end, and nobody is to be kept waiting."""
        return self._released.is_set()

    def respond(self, request: Request) -> Reply:
        """Return the answer to a request, or what the next fault makes of it."""
        if (reply := self.aside(request)) is not None:
            return reply
        with self.lock:
            self.attempts += 1
            place = self.place(request)
            self.impatient += self.clock.monotonic_s() < self._closed_until_s.get(place, 0.0)
            fault = self._faults.popleft() if self._faults else None
            reply = self.answer(request) if fault is None else self._faulty(fault, request)
            if reply is not None:
                self._closed_until_s[place] = self.clock.monotonic_s() + _asked_wait_s(reply)
                return reply
        self._released.wait()
        return Reply(None)

    def _faulty(self, fault: Fault, request: Request) -> Reply | None:
        """Return what a fault makes of an answer; None when there is to be none."""
        match fault.kind:
            case FaultKind.RATE_LIMITED:
                return self.rate_limited(fault.retry_after_s)
            case FaultKind.SERVER_ERROR:
                return Reply(fault.status, b"<html><h1>Bad Gateway</h1></html>", "text/html")
            case FaultKind.GARBAGE:
                return Reply(200, b"<html><h1>Sign in to this network</h1></html>", "text/html")
            case FaultKind.LOST_ANSWER:
                self.answer(request)
                return Reply(None)
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                # Whoever was connected may have been killed.
                with suppress(ConnectionError):
                    super().handle()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                reply = stand_in.respond(Request(self.path, dict(self.headers.items()), body))
                if reply.status is None:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                self.send_header("Content-Type", f"{reply.content_type}; charset=utf-8")
                self.send_header("Content-Length", str(len(reply.body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                # Whoever asked may have given up meanwhile.
                with suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(reply.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's signature
                """Stay silent."""

        return Handler


def _asked_wait_s(reply: Reply) -> float:
    """Return how long an answer asks to wait, in Slack's way or in Telegram's."""
    if reply.status != HTTPStatus.TOO_MANY_REQUESTS:
        return 0.0
    if "Retry-After" in reply.headers:
        return float(reply.headers["Retry-After"])
    return float(json.loads(reply.body)["parameters"]["retry_after"])


def as_json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an answer in JSON."""
    return Reply(status, json.dumps(body).encode(), headers=headers or {})
