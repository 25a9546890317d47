"""Apache Kafka as a local process: one KRaft node on loopback, about 512 MB of heap, ready in about 2 s.

    broker = ApacheKafka(ApacheKafkaParams(data_dir=folder))
    broker.start()
    ...
    broker.kill()     # as a crash would
    broker.start()    # the same port, the same data
    broker.stop()

The data folder holds `server.properties` (made once, with the ports), `data/` and the logs in `log/`.
"""

import base64
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Final, Self

from deploy.kafka import java
from deploy.kafka.ports import LOOPBACK, free_ports, is_free, speaks_kafka
from deploy.kafka.process import ChildProcess, tail, wait_until
from shared.errors import PortInUseError, PrerequisiteError

START_WITHIN_S: Final = 90.0
STOP_WITHIN_S: Final = 20.0

_TEMPLATE: Final = Path(__file__).with_name("server.properties")
_LOG4J: Final = Path(__file__).with_name("log4j2.properties")
_STARTED: Final = "Kafka Server started"
_ATTEMPTS: Final = 3
# One compiler and the serial collector: half the start-up time, and few threads beside the broker's own.
_JVM_OPTIONS: Final = (
    "-Xms128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)


def _say_nothing(_sentence: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class ApacheKafkaParams:
    """How to run a local Apache Kafka.

    Attributes:
        data_dir: keeps topics, configuration and logs from one start to the next; None for a temporary folder
            that `stop` removes.
        port: where clients connect; 0 for that of the data folder's last start, else any free one.
        controller_port: where controllers meet, at the first start; 0 for any free one.
        log_dir: folder that the topics lie in, in one named `data`; None for the data folder.
        properties: of the broker, instead of or beside those of `server.properties` in this package. With
            `controller.quorum.voters` the node is one of several, which need the same `cluster_id`.
        cluster_id: what a new storage is formatted with; empty for any.
        heap_mb: most memory for Java's objects.
        cache_dir: where the server's jars are kept.
        tell: is given a sentence when something takes a while.
    """

    data_dir: Path | None = None
    port: int = 0
    controller_port: int = 0
    log_dir: Path | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    cluster_id: str = ""
    heap_mb: int = 512
    cache_dir: Path = field(default_factory=java.default_cache_dir)
    tell: Callable[[str], None] = _say_nothing


class ApacheKafka:
    """A local Apache Kafka. It ends with this process, however that ends."""

    kind: Final = "apache-kafka"
    supports_transactions: Final = True

    def __init__(self, params: ApacheKafkaParams) -> None:
        self._params = params
        self._folder = params.data_dir
        self._process: ChildProcess | None = None
        self.port = params.port

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect; it stays the same from one start to the next."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the server; 0 when it does not run."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the server, again if need be, and return when it answers.

        Raises:
            ToolMissingError: Java or Maven is missing.
            PortInUseError: the port that was asked for is taken.
            PrerequisiteError: the jars cannot be fetched, or the server ended or did not answer in time; the
                end of its log is in the message.
        """
        if self._process is not None and self._process.running():
            return
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tapewatch-kafka-"))
        for attempt in range(_ATTEMPTS):
            layout = prepare(self._folder, self._params, port=self.port)
            process = ChildProcess(layout.command, log_path=layout.console)
            if _answers(layout, process.running):
                self.port = layout.port
                self._process = process
                return
            process.terminate(within_s=STOP_WITHIN_S)
            # Another process got a port that was free a moment ago. While clients know none, pick anew.
            lost_port = "Address already in use" in layout.last_words()
            if not (lost_port and layout.is_new) or self.port or attempt + 1 == _ATTEMPTS:
                raise PrerequisiteError(
                    f"Apache Kafka did not start. The end of its log:\n{layout.last_words()}"
                )
            layout.discard()
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """Stop the server in order; a temporary data folder goes with it, one that was given stays."""
        if self._process is not None:
            self._process.terminate(within_s=STOP_WITHIN_S)
            self._process = None
        if self._params.data_dir is None and self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def kill(self) -> None:
        """End the server without warning, as a crash would; its data stay for the next `start`."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except PrerequisiteError:
            self.stop()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A data folder that is ready for a start.

    Attributes:
        folder: the data folder.
        port: where clients will connect.
        command: what starts the server.
        is_new: it has never served.
        topics: the folder that they lie in.
    """

    folder: Path
    port: int
    command: tuple[str, ...]
    is_new: bool
    topics: Path

    @property
    def console(self) -> Path:
        """What the process prints: faults from before its log is open."""
        return self.folder / "log" / "console.log"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "log" / "server.log"

    def last_words(self) -> str:
        """Return the end of what the server said since this start."""
        return "\n".join(filter(None, (tail(self.log), tail(self.console))))

    def discard(self) -> None:
        """Remove what `prepare` made, and nothing else: the folder may be somebody's own."""
        for made in (self.topics, self.folder / "log"):
            shutil.rmtree(made)
        (self.folder / "server.properties").unlink()


def prepare(folder: Path, params: ApacheKafkaParams, *, port: int = 0) -> Layout:
    """Make a data folder ready: configuration, formatted storage, empty logs.

    Args:
        folder: the data folder; what it holds from an earlier start is kept.
        params: as for `ApacheKafka`.
        port: where clients shall connect; 0 for that of the folder's last start, else any free one.

    Raises:
        ToolMissingError: Java or Maven is missing.
        PortInUseError: the port is taken.
        PrerequisiteError: the jars cannot be fetched, or the storage cannot be formatted.
    """
    program = java.find_java()
    jars = java.ensure_jars(params.cache_dir, tell=params.tell)
    folder = folder.resolve()
    (folder / "log").mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    port, controller_port = _ports(properties, port, params.controller_port)
    for needed in (port, controller_port):
        if not is_free(needed):
            raise PortInUseError(needed, purpose="the local Apache Kafka", setting="the broker's port")
    text = _TEMPLATE.read_text(encoding="utf-8")
    topics = (params.log_dir or folder).resolve() / "data"
    values = {"port": port, "controller_port": controller_port, "log_dir": topics}
    # Without its first paragraph, which is about the template. Of two values the later one counts.
    lines = [Template(text.partition("\n\n")[2]).substitute(values)]
    lines += [f"{name}={value}\n" for name, value in params.properties.items()]
    properties.write_text("".join(lines), encoding="utf-8")
    is_new = not (topics / "meta.properties").exists()
    run_class = _java(program, jars, f"-Xmx{params.heap_mb}m")
    if is_new:
        _format(run_class, properties, params)
    logging = (f"-Dkafka.logs.dir={folder / 'log'}", f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}")
    run_class = _java(program, jars, f"-Xmx{params.heap_mb}m", *logging)
    command = (*run_class, "kafka.Kafka", str(properties))
    layout = Layout(folder=folder, port=port, command=command, is_new=is_new, topics=topics)
    # The last start's log would be read as this one's.
    if layout.log.exists():
        layout.log.rename(layout.log.with_name("server.previous.log"))
    layout.console.unlink(missing_ok=True)
    return layout


def _ports(properties: Path, port: int, controller_port: int) -> tuple[int, int]:
    """Return client and controller port: those of the last start as far as there was one, else free ones.

    The controller's stays for good: it stands in the formatted storage as the voter's address.
    """
    last = [0, 0]
    if properties.exists():
        lines = properties.read_text(encoding="utf-8").splitlines()
        [listeners] = [line for line in lines if line.startswith("listeners=")]
        # What clients are told to connect to may be another port, so it is not that which is read.
        last = [int(listener.rpartition(":")[2]) for listener in listeners.split(",")]
    free = [candidate for candidate in free_ports(4) if candidate not in {port, controller_port}]
    return port or last[0] or free[0], last[1] or controller_port or free[1]


def _java(program: Path, jars: Path, *options: str) -> tuple[str, ...]:
    """Return the beginning of a command; the name of a class of the jars goes next."""
    return (str(program), *_JVM_OPTIONS, *options, "-cp", str(jars / "*"))


def new_cluster_id() -> str:
    """Return what a storage can be formatted with."""
    # Kafka takes 16 random bytes in URL-safe base64, not beginning with a hyphen; the letter sees to that.
    return "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def _format(run_class: tuple[str, ...], properties: Path, params: ApacheKafkaParams) -> None:
    command = [*run_class, "kafka.tools.StorageTool", "format"]
    if "controller.quorum.voters" not in params.properties:
        command.append("--standalone")
    command += ["--cluster-id", params.cluster_id or new_cluster_id(), "--config", str(properties)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own jars
    if done.returncode != 0:
        raise PrerequisiteError(
            f"Apache Kafka could not format its storage:\n{(done.stdout + done.stderr)[-2_000:]}"
        )


def _answers(layout: Layout, running: Callable[[], bool]) -> bool:
    """Wait until the server says that it has started and answers a request; false when it ended instead."""

    def ready() -> bool:
        if not layout.log.exists() or _STARTED not in layout.log.read_text(
            encoding="utf-8", errors="replace"
        ):
            return False
        return speaks_kafka(f"{LOOPBACK}:{layout.port}")

    return wait_until(ready, running=running, timeout_s=START_WITHIN_S)


def wait_until_ready(layout: Layout, running: Callable[[], bool]) -> None:
    """Wait until a server started from this layout answers.

    Raises:
        PrerequisiteError: it ended, or did not answer in time; the end of its log is in the message.
    """
    if not _answers(layout, running):
        raise PrerequisiteError(f"Apache Kafka did not start. The end of its log:\n{layout.last_words()}")
