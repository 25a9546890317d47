"""The signed endpoint for Slack's buttons and commands, for those who prefer it to Socket Mode.

Slack signs each request with the app's signing secret and a time; what is not signed, or older than five
minutes, is refused before it is read (`slack_sdk.signature`). The server speaks plain HTTP and listens on
loopback unless told otherwise: a proxy in front of it holds the certificate.
"""

import errno
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from slack_sdk.signature import SignatureVerifier

from alerter.inbound.slack import SlackAnswers, payload_of
from shared.errors import PortInUseError
from shared.metrics import counter

PATH: Final = "/slack"
# Slack's payloads hold a message and some names.
_LONGEST: Final = 1_000_000
_PATIENCE_S: Final = 10.0


class SlackEndpoint:
    """Takes payloads over HTTP; runs in threads of its own from `start` to `stop`.

    Args:
        host: address to listen on.
        port: to listen on; 0 for any.
        signing_secret: of the Slack app.
        answers: carries payloads out.

    Raises:
        PortInUseError: another process listens there.
    """

    def __init__(self, *, host: str, port: int, signing_secret: str, answers: SlackAnswers) -> None:
        self._verifier = SignatureVerifier(signing_secret)
        self._answers = answers
        try:
            self._server = ThreadingHTTPServer((host, port), self._handler())
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortInUseError(port, purpose="Slack's buttons", setting="SLACK_ENDPOINT_PORT") from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="slack-endpoint", daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        """Take a request; return the status to answer with."""
        if not self._verifier.is_valid_request(body, headers):
            counter("tapewatch_commands_total").labels(channel="slack", outcome="refused").inc()
            return 401
        try:
            payload = payload_of(body.decode())
        except ValueError:
            return 400
        self._answers.take(payload)
        return 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_S

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if self.path != PATH:
                    self._answer(404)
                elif not length.isdecimal() or int(length) > _LONGEST:
                    self._answer(413)
                else:
                    self._answer(endpoint.take(self.rfile.read(int(length)), dict(self.headers.items())))

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's signature
                """Stay silent; what is refused is counted."""

        return Handler
