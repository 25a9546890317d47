"""A broker in the background for development: started by one command, stopped by another.

What runs is written to `state.json` in a folder of its own, beside the broker's data.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from deploy.kafka import apache, builtin
from deploy.kafka.apache import ApacheKafkaParams
from deploy.kafka.ports import LOOPBACK, speaks_kafka
from deploy.kafka.process import is_running, start_detached, stop_detached, tail, wait_until
from shared.errors import PrerequisiteError


@dataclass(frozen=True, kw_only=True)
class BackgroundBroker:
    """A broker that runs in the background.

    Attributes:
        kind: which of the ways it is.
        pid: its process id.
        bootstrap_servers: where clients connect.
        mark: words of its command line that tell its process from any other.
    """

    kind: Literal["apache-kafka", "builtin"]
    pid: int
    bootstrap_servers: str
    mark: str

    def answers(self) -> bool:
        """Return whether a client would be answered."""
        return speaks_kafka(self.bootstrap_servers)


def running(folder: Path) -> BackgroundBroker | None:
    """Return the broker that was started with this folder and still runs, or None."""
    state = folder / "state.json"
    if not state.exists():
        return None
    broker = BackgroundBroker(**json.loads(state.read_text(encoding="utf-8")))
    return broker if is_running(broker.pid, mark=broker.mark) else None


def start_apache(folder: Path, *, port: int, tell: Callable[[str], None]) -> BackgroundBroker:
    """Start a local Apache Kafka in the background, and return it when it answers.

    Args:
        folder: keeps its data from one start to the next.
        port: where clients connect; 0 for that of the last start, else any free one.
        tell: is given a sentence when something takes a while.

    Raises:
        PrerequisiteError: as for `ApacheKafka.start`.
    """
    layout = apache.prepare(folder, ApacheKafkaParams(tell=tell), port=port)
    mark = str(layout.folder / "server.properties")
    pid = start_detached(layout.command, log_path=layout.console)
    with _stopped_on_error(pid, mark):
        apache.wait_until_ready(layout, lambda: is_running(pid, mark=mark))
    servers = f"{LOOPBACK}:{layout.port}"
    return _remember(
        folder, BackgroundBroker(kind="apache-kafka", pid=pid, bootstrap_servers=servers, mark=mark)
    )


def start_builtin(folder: Path, *, partitions: dict[str, int]) -> BackgroundBroker:
    """Start librdkafka's built-in cluster in the background, and return it when it has told its address.

    Raises:
        PrerequisiteError: it did not start; what it printed is in the message.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "builtin.log"
    log.unlink(missing_ok=True)
    mark = "deploy.kafka.builtin"
    pid = start_detached(builtin.command(partitions), log_path=log)
    wait_until(
        lambda: builtin.announced(log) is not None,
        running=lambda: is_running(pid, mark=mark),
        timeout_s=30.0,
    )
    address = builtin.announced(log)
    if address is None:
        stop_detached(pid, mark=mark)
        raise PrerequisiteError(f"librdkafka's built-in cluster did not start:\n{tail(log)}")
    return _remember(folder, BackgroundBroker(kind="builtin", pid=pid, bootstrap_servers=address, mark=mark))


def stop(folder: Path) -> BackgroundBroker | None:
    """Stop the broker that was started with this folder, and return what it was; None when none runs."""
    broker = running(folder)
    if broker is not None:
        stop_detached(broker.pid, mark=broker.mark)
    (folder / "state.json").unlink(missing_ok=True)
    return broker


def _remember(folder: Path, broker: BackgroundBroker) -> BackgroundBroker:
    (folder / "state.json").write_text(json.dumps(asdict(broker), indent=2) + "\n", encoding="utf-8")
    return broker


@contextlib.contextmanager
def _stopped_on_error(pid: int, mark: str) -> Iterator[None]:
    try:
        yield
    except PrerequisiteError:
        stop_detached(pid, mark=mark)
        raise
