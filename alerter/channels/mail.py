"""E-mail, through SMTP: one message for each notification that rings, all of an incident in one thread.

The standard library's client runs in a thread. `Message-ID` is made of the notification's key, so a message
that comes twice after a crash is one to most readers; `References` keeps an incident together. An alert that
opens brings its picture.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Final, Literal

from alerter.channels.redaction import Redactor
from alerter.notification import Notification, NotificationEvent
from alerter.render import clean, plain
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import content_id
from shared.errors import ChannelDeadError, DeliveryError, DeliveryRefusedError, DeliveryRetriableError

EMAIL: Final = "email"

_SUBJECT: Final = 200
_DETAIL: Final = 200
_PERMANENT: Final = 500

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, kw_only=True)
class MailParams:
    """How mail is sent.

    Attributes:
        host: SMTP server.
        port: of it; usually 587 for `starttls`, 465 for `tls`.
        security: how the connection is encrypted; certificates are checked. `none` is for a relay on this
            machine, and never sends a password.
        user: to log in as; empty: no login.
        password: of the user.
        sender: address in `From`.
        recipients: addresses in `To`.
        timeout_s: for each step.
        min_interval_s: between two messages.
    """

    host: str
    port: int = 587
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str
    recipients: Sequence[str]
    timeout_s: float = 10.0
    min_interval_s: float = 1.0

    def __post_init__(self) -> None:
        if self.user and self.security == "none":
            raise ValueError("a password is not sent over a connection that is not encrypted")


class Mail:
    """Mails notifications that ring.

    Args:
        params: how.
        now_us: tells the time.
        picture: draws a notification; None to send none.
        context: of TLS; by default it checks certificates against those of the system.
    """

    name = EMAIL
    edits = False

    def __init__(
        self,
        params: MailParams,
        *,
        now_us: Callable[[], int],
        picture: Callable[[Notification], bytes | None] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.min_interval_s = params.min_interval_s
        self._params = params
        self._now_us = now_us
        self._picture = picture
        self._context = context or ssl.create_default_context()
        self._domain = parseaddr(params.sender)[1].rpartition("@")[2] or "tapewatch"
        self._redact = Redactor(params.password)

    async def send(self, notification: Notification, *, thread_ref: str) -> str:
        """Mail a notification; returns the id of the thread's first message."""
        identity = self._identity(notification.notification_id)
        headline, _, rest = plain(notification).partition("\n")
        message = self._message(identity, subject=headline, text=f"{headline}\n\n{rest}\n")
        if thread_ref:
            message["In-Reply-To"] = message["References"] = thread_ref
        await asyncio.to_thread(self._deliver, message, notification)
        return thread_ref or identity

    async def tell(self, text: str) -> None:
        """Mail a text."""
        identity = self._identity(content_id("notice", text, self._now_us()))
        await asyncio.to_thread(self._deliver, self._message(identity, subject=text, text=text), None)

    async def close(self) -> None:
        """Release nothing: each message has its own connection."""

    def _identity(self, key: str) -> str:
        return f"<{key}.tapewatch@{self._domain}>"

    def _message(self, identity: str, *, subject: str, text: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._params.sender
        message["To"] = ", ".join(self._params.recipients)
        message["Subject"] = clean(subject, _SUBJECT)
        message["Date"] = formatdate(self._now_us() / MICROSECONDS_PER_SECOND)
        message["Message-ID"] = identity
        # No absence notes in answer to a machine (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message

    def _deliver(self, message: EmailMessage, notification: Notification | None) -> None:
        if self._picture is not None and notification is not None:
            opens = notification.event is NotificationEvent.OPENED
            if opens and (picture := self._picture(notification)) is not None:
                message.add_attachment(picture, maintype="image", subtype="png", filename="alert.png")
        try:
            with self._connected() as server:
                refused = server.send_message(message)
        except smtplib.SMTPException as error:
            raise self._failure(error) from None
        except OSError as error:
            detail = clean(self._redact(f"{type(error).__name__}: {error}"), _DETAIL)
            raise DeliveryRetriableError(EMAIL, detail=detail) from None
        if refused:
            # The others have it; sending it again would give it to them twice.
            raise DeliveryRefusedError(EMAIL, detail=clean(f"refused for {', '.join(refused)}", _DETAIL))

    def _connected(self) -> smtplib.SMTP:
        params = self._params
        server: smtplib.SMTP
        if params.security == "tls":
            server = smtplib.SMTP_SSL(
                params.host, params.port, timeout=params.timeout_s, context=self._context
            )
        else:
            server = smtplib.SMTP(params.host, params.port, timeout=params.timeout_s)
        try:
            if params.security == "starttls":
                server.starttls(context=self._context)
            if params.user:
                server.login(params.user, params.password)
        except (OSError, smtplib.SMTPException):
            server.close()
            raise
        return server

    def _failure(self, error: smtplib.SMTPException) -> DeliveryError:
        detail = clean(self._redact(f"{type(error).__name__}: {error}"), _DETAIL)
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            codes = [code for code, _ in error.recipients.values()]
        else:
            codes = [error.smtp_code] if isinstance(error, smtplib.SMTPResponseException) else []
        if not codes or min(codes) < _PERMANENT:
            # Greylisting, a full disk, a connection that broke.
            if isinstance(error, smtplib.SMTPNotSupportedError):
                return ChannelDeadError(EMAIL, detail=detail)
            return DeliveryRetriableError(EMAIL, detail=detail)
        if isinstance(error, smtplib.SMTPDataError):
            return DeliveryRefusedError(EMAIL, detail=detail)
        return ChannelDeadError(EMAIL, detail=detail)
