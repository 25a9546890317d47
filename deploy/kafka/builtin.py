"""librdkafka's built-in cluster in a helper process, for machines with neither Docker nor Java.

It is a test aid of the C library inside the confluent-kafka wheel, reached here through ctypes, because only
there can a topic be given its number of partitions. Any client of any process can use it. What it cannot do:

- it keeps about 5 MB or 100,000 records per partition and forgets the oldest, and everything when it ends;
- it shows aborted transactions, loses transactional offsets and fences nobody: `at_least_once` only;
- it has no topic administration: its topics exist from the start, as given to it.

Source: `rdkafka_mock.h` of librdkafka. `python -m deploy.kafka.builtin trades=12 alerts=1` runs one by hand.
"""

import ctypes
import importlib.util
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deploy.kafka.process import ChildProcess, tail, wait_until
from shared.errors import PrerequisiteError

LIMITS: Final = (
    "librdkafka's built-in cluster stands in for Kafka: it keeps about 5 MB per partition, in memory only, "
    "and has no sound transactions, so processing is at_least_once."
)

_START_WITHIN_S: Final = 30.0
_STOP_WITHIN_S: Final = 5.0
_ANNOUNCEMENT: Final = re.compile(r"^bootstrap_servers=(\S+)$", re.MULTILINE)
_PRODUCER: Final = 0
_OK: Final = 0


class BuiltinCluster:
    """A cluster of one broker inside this process, until `close` or the end of the process.

    Args:
        partitions: the topics it has, each with its number of partitions.

    Raises:
        ValueError: a topic has no partition.
        PrerequisiteError: librdkafka is not where the confluent-kafka wheel has it, or refuses.
    """

    def __init__(self, partitions: Mapping[str, int]) -> None:
        # librdkafka does not refuse this: it aborts the process.
        if empty := [topic for topic, count in partitions.items() if count < 1]:
            raise ValueError(f"a topic has one partition or more: {', '.join(empty)}")
        library = self._library = _librdkafka()
        message = ctypes.create_string_buffer(512)
        configuration = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(configuration, b"test.mock.num.brokers", b"1", message, len(message))
        client = library.rd_kafka_new(_PRODUCER, configuration, message, len(message))
        if not client:
            raise PrerequisiteError(f"librdkafka's built-in cluster: {message.value.decode()}")
        self._client = client
        cluster = library.rd_kafka_handle_mock_cluster(client)
        # A group of one process need not wait three seconds for others to join.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
        for topic, count in partitions.items():
            error = library.rd_kafka_mock_topic_create(cluster, topic.encode(), count, 1)
            if error != _OK:
                raise PrerequisiteError(
                    f"librdkafka's built-in cluster refuses {count} partitions of {topic}: error {error}"
                )
        #: Where clients connect.
        self.bootstrap_servers: Final[str] = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()

    def close(self) -> None:
        """End the cluster; what it kept is gone."""
        if self._client is not None:
            self._library.rd_kafka_destroy(self._client)
            self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _librdkafka() -> ctypes.CDLL:
    package = importlib.util.find_spec("confluent_kafka")
    if package is None or package.origin is None:
        raise PrerequisiteError("confluent-kafka is not installed: run `make install`.")
    folder = Path(package.origin).parent
    # Where auditwheel (Linux) and delocate (macOS) put a wheel's own libraries.
    places = (folder.parent / "confluent_kafka.libs", folder / ".dylibs")
    found = [path for place in places for path in sorted(place.glob("librdkafka*"))]
    if not found:
        raise PrerequisiteError(f"librdkafka is in none of {', '.join(map(str, places))}.")
    library = ctypes.CDLL(str(found[0]))
    handle, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    for name, returns, takes in (
        ("rd_kafka_conf_new", handle, ()),
        ("rd_kafka_conf_set", ctypes.c_int, (handle, text, text, text, size)),
        ("rd_kafka_new", handle, (ctypes.c_int, handle, text, size)),
        ("rd_kafka_destroy", None, (handle,)),
        ("rd_kafka_handle_mock_cluster", handle, (handle,)),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, (handle, ctypes.c_int32)),
        ("rd_kafka_mock_topic_create", ctypes.c_int, (handle, text, ctypes.c_int, ctypes.c_int)),
        ("rd_kafka_mock_cluster_bootstraps", text, (handle,)),
    ):
        function = getattr(library, name)
        function.restype = returns
        function.argtypes = takes
    return library


def command(partitions: Mapping[str, int]) -> tuple[str, ...]:
    """Return what starts a helper process with these topics."""
    topics = (f"{topic}={count}" for topic, count in partitions.items())
    return (sys.executable, "-m", "deploy.kafka.builtin", *topics)


def announced(log: Path) -> str | None:
    """Return the address that a helper process has written to its log, or None when there is none yet."""
    match = _ANNOUNCEMENT.search(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else None
    return match.group(1) if match else None


class BuiltinKafka:
    """The built-in cluster in a process of its own, which ends with this one.

    Args:
        partitions: the topics it has, each with its number of partitions.
    """

    kind: Final = "builtin"
    supports_transactions: Final = False

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self._partitions = dict(partitions)
        self._process: ChildProcess | None = None
        self._folder: Path | None = None
        self.bootstrap_servers = ""

    def start(self) -> None:
        """Start the process and return when it has told its address.

        Raises:
            PrerequisiteError: it ended, or told nothing in time; what it printed is in the message.
        """
        if self._process is not None and self._process.running():
            return
        self._folder = Path(tempfile.mkdtemp(prefix="tapewatch-kafka-"))
        log = self._folder / "builtin.log"
        process = ChildProcess(command(self._partitions), log_path=log)
        wait_until(lambda: announced(log) is not None, running=process.running, timeout_s=_START_WITHIN_S)
        self._process = process
        address = announced(log)
        if address is None:
            words = tail(log)
            self.stop()
            raise PrerequisiteError(f"librdkafka's built-in cluster did not start:\n{words}")
        self.bootstrap_servers = address

    def stop(self) -> None:
        """End the process; what it kept is gone."""
        if self._process is not None:
            self._process.terminate(within_s=_STOP_WITHIN_S)
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def main(arguments: list[str]) -> None:
    """Run a cluster until SIGTERM or SIGINT. Each argument is `topic=partitions`."""
    # Blocked before librdkafka makes its threads, so that the signals wait for us and not for one of those.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    topics = (argument.rpartition("=") for argument in arguments)
    cluster = BuiltinCluster({topic: int(count) for topic, _, count in topics})
    print(f"bootstrap_servers={cluster.bootstrap_servers}", flush=True)  # noqa: T201 - the starter reads it
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(sys.argv[1:])
