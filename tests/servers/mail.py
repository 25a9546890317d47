"""A sink for mail: a small SMTP server with login, TLS, and refusals on command.

Source: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 4954 (AUTH PLAIN).
"""

import base64
import ssl
import threading
from collections.abc import Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from socketserver import StreamRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Final, Self

USER: Final = "tape"
PASSWORD: Final = "pass word/1"


class MailSink:
    """Takes mail; a context manager that runs it in a thread on a free port of the loopback.

    Args:
        tls: what STARTTLS uses; without it there is none.
        refusals: by the first word of a command (`MAIL`, `RCPT`, `DATA`, `AUTH`), the line that refuses it;
            `END` refuses a message when it is there.

    Attributes:
        messages: what was taken, in order.
        recipients: of each.
        is_encrypted: of each, whether it came over TLS.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, refusals: Mapping[str, str] | None = None
    ) -> None:
        self.tls = tls
        self.refusals = dict(refusals or {})
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.is_encrypted: list[bool] = []
        self._server = ThreadingTCPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"sink": self}))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def take(self, source: bytes, recipients: list[str], *, is_encrypted: bool) -> None:
        """Keep a message."""
        message = message_from_bytes(source, policy=default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.recipients.append(recipients)
        self.is_encrypted.append(is_encrypted)


class _Handler(StreamRequestHandler):
    sink: MailSink

    def handle(self) -> None:
        self.recipients: list[str] = []
        self.secured: ssl.SSLSocket | None = None
        self.say("220 sink")
        while line := self.rfile.readline():
            words = line.decode().split()
            verb = words[0].upper() if words else ""
            if verb == "QUIT":
                self.say("221 bye")
                return
            if verb == "STARTTLS":
                if not self.encrypt():
                    return
            elif verb in self.sink.refusals:
                self.say(self.sink.refusals[verb])
            else:
                self.obey(verb, words)

    def obey(self, verb: str, words: list[str]) -> None:
        match verb:
            case "EHLO":
                offers = ["STARTTLS"] if self.sink.tls and self.secured is None else ["AUTH PLAIN"]
                self.say("250-sink", *(f"250-{offer}" for offer in offers), "250 SIZE 1000000")
            case "AUTH":
                expected = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
                self.say("235 welcome" if words[-1] == expected else "535 5.7.8 wrong password")
            case "RCPT":
                self.recipients.append(words[1].partition(":")[2].strip("<>"))
                self.say("250 ok")
            case "DATA":
                self.data()
            case _:
                self.say("250 ok")

    def encrypt(self) -> bool:
        """Return whether the client trusts us enough to go on."""
        assert self.sink.tls is not None
        self.say("220 go ahead")
        try:
            self.secured = self.sink.tls.wrap_socket(self.request, server_side=True)
        except OSError:
            return False
        self.rfile, self.wfile = self.secured.makefile("rb"), self.secured.makefile("wb")
        return True

    def finish(self) -> None:
        super().finish()
        if self.secured is not None:
            self.secured.close()

    def data(self) -> None:
        self.say("354 go ahead")
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        if "END" in self.sink.refusals:
            self.say(self.sink.refusals["END"])
            return
        self.sink.take(b"".join(lines), self.recipients, is_encrypted=self.secured is not None)
        self.say("250 taken")

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())
        self.wfile.flush()
