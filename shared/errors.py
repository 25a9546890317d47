"""Every error the project raises on purpose, and the fate each one meets.

    TapewatchError
    ├── ConfigError               settings are wrong; all faults are listed at once
    ├── PrerequisiteError         the machine lacks something; the message says what to do
    │   ├── ToolMissingError      a program is not installed
    │   └── PortInUseError        another process listens on the port
    ├── InvalidRecordError        bytes that are no valid event          → dead letter
    ├── DeadLetterLimitError      too many invalid records at once       → crash
    ├── DeadLetterNotFoundError   somebody asks for one that is not there
    ├── BrokerError
    │   ├── BrokerRetriableError  the broker will answer later           → retry
    │   ├── BrokerAbortableError  the transaction must be aborted        → retry from the last commit
    │   └── BrokerFatalError      fenced, or unusable for this process   → crash
    ├── StoreError                the database reported an error         → crash
    │   └── StoreUnavailableError it will answer later                   → retry
    ├── RecordingError            a recording cannot be read
    ├── SnapshotRefusedError      a snapshot of another version or configuration, or damaged
    ├── ModelRefusedError         a trained model of another form or version, or damaged
    ├── ExchangeError             the exchange answered with an error
    │   ├── RateLimitedError      asked to wait                          → retry after `retry_after_s`
    │   └── ExchangeUnavailableError  no answer, or a server-side fault  → retry
    └── DeliveryError             a channel did not take a notification
        ├── DeliveryRetriableError    later it may                       → retry after `retry_after_s`
        └── DeliveryRefusedError      it never will (malformed message)
            └── ChannelDeadError      nor any other (bad token, unknown chat) → the other channels tell

The four fates (there is no fifth): *retry*, *dead-letter*, *quarantine* (a detector raised on valid data: it
stops for that market and the others go on) and *crash* (everything else; the supervisor restarts the worker).
Errors carry fields; their text is made from the fields.
"""


class TapewatchError(Exception):
    """Base of every error that the project raises on purpose."""


class ConfigError(TapewatchError):
    """Settings are wrong.

    Attributes:
        faults: one sentence per fault, each naming the setting and what to do.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class PrerequisiteError(TapewatchError):
    """The machine lacks something that only its owner can provide."""


class ToolMissingError(PrerequisiteError):
    """A program is not installed."""

    def __init__(self, tool: str, *, remedy: str) -> None:
        super().__init__(f"{tool} is not installed. {remedy}")
        self.tool = tool
        self.remedy = remedy


class PortInUseError(PrerequisiteError):
    """Another process listens on a port that we need."""

    def __init__(self, port: int, *, purpose: str, setting: str) -> None:
        super().__init__(
            f"port {port}, needed for {purpose}, is in use by another process. "
            f"Stop that process, or set {setting} to a free port."
        )
        self.port = port
        self.purpose = purpose
        self.setting = setting


class InvalidRecordError(TapewatchError):
    """Bytes that are no valid event."""

    def __init__(self, reason: str, *, payload: bytes) -> None:
        super().__init__(f"invalid record: {reason}")
        self.reason = reason
        self.payload = payload


class DeadLetterLimitError(TapewatchError):
    """So many records are invalid that the fault is ours or a deploy's, not a record's."""

    def __init__(self, *, count: int, limit: int, window_s: float) -> None:
        super().__init__(
            f"{count} invalid records within {window_s:g} s (limit {limit}): halting here. "
            "Look at the dead-letters topic, then fix the writer or the decoder."
        )
        self.count = count
        self.limit = limit
        self.window_s = window_s


class DeadLetterNotFoundError(TapewatchError):
    """Somebody asks for a dead letter that is not there."""

    def __init__(self, offset: int, *, first: int, end: int) -> None:
        retained = f"retained are {first} to {end - 1}" if first < end else "the topic is empty"
        super().__init__(f"no dead letter at offset {offset}: {retained}")
        self.offset = offset
        self.first = first
        self.end = end


class BrokerError(TapewatchError):
    """Kafka reported an error."""

    def __init__(self, operation: str, *, detail: str) -> None:
        super().__init__(f"Kafka {operation}: {detail}")
        self.operation = operation
        self.detail = detail


class BrokerRetriableError(BrokerError):
    """The same call may succeed later."""


class BrokerAbortableError(BrokerError):
    """The current transaction must be aborted; its input is read again."""


class BrokerFatalError(BrokerError):
    """This client can do nothing more: it was fenced, or the broker lacks what it needs."""


class StoreError(TapewatchError):
    """The database reported an error. Its text never holds a password or a stored value."""

    def __init__(self, operation: str, *, detail: str) -> None:
        super().__init__(f"store {operation}: {detail}")
        self.operation = operation
        self.detail = detail


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or is locked by another process; the same call may succeed later."""


class RecordingError(TapewatchError):
    """A recording cannot be read: it is damaged, or of no known form.

    Attributes:
        path: the file.
        reason: what is wrong, and where.
    """

    def __init__(self, path: str, *, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class SnapshotRefusedError(TapewatchError):
    """A snapshot that must not be restored."""

    def __init__(self, *, symbol: str, reason: str) -> None:
        super().__init__(f"snapshot of {symbol} refused: {reason}; its state is rebuilt from retained trades")
        self.symbol = symbol
        self.reason = reason


class ModelRefusedError(TapewatchError):
    """A trained model that must not be used."""

    def __init__(self, path: str, *, reason: str) -> None:
        super().__init__(f"the model in {path} {reason}")
        self.path = path
        self.reason = reason


class ExchangeError(TapewatchError):
    """An exchange answered with an error."""

    def __init__(self, exchange: str, *, detail: str, code: int | None = None) -> None:
        super().__init__(f"{exchange}: {detail}" if code is None else f"{exchange}: {detail} (code {code})")
        self.exchange = exchange
        self.detail = detail
        self.code = code


class RateLimitedError(ExchangeError):
    """An exchange asked us to wait."""

    def __init__(self, exchange: str, *, retry_after_s: float, code: int) -> None:
        super().__init__(exchange, detail=f"rate limited, retry after {retry_after_s:g} s", code=code)
        self.retry_after_s = retry_after_s


class ExchangeUnavailableError(ExchangeError):
    """An exchange did not answer, or answered with a fault of its own."""


class DeliveryError(TapewatchError):
    """A channel did not take a notification. Its text never holds a token or a URL with one."""

    def __init__(self, channel: str, *, detail: str) -> None:
        super().__init__(f"{channel}: {detail}")
        self.channel = channel
        self.detail = detail


class DeliveryRetriableError(DeliveryError):
    """The channel may take it later.

    Attributes:
        retry_after_s: how long the channel asks to wait; None when it does not say.
        may_have_arrived: whether the answer was lost, and perhaps not the message.
    """

    def __init__(
        self,
        channel: str,
        *,
        detail: str,
        retry_after_s: float | None = None,
        may_have_arrived: bool = False,
    ) -> None:
        super().__init__(channel, detail=detail)
        self.retry_after_s = retry_after_s
        self.may_have_arrived = may_have_arrived


class DeliveryRefusedError(DeliveryError):
    """The channel will never take it as it is."""


class ChannelDeadError(DeliveryRefusedError):
    """The channel takes nothing until somebody changes its settings, or its rights at the service."""
