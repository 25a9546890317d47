"""Ports on loopback: free ones, taken ones, and whether what listens there speaks Kafka's protocol."""

import random
import socket
import struct
from typing import Final

from shared.errors import PrerequisiteError

LOOPBACK: Final = "127.0.0.1"

# Below the range that Linux and macOS give to outgoing connections: a server that is restarted on its port
# must not find that another program's connection has been given that port meanwhile.
_CANDIDATES: Final = range(20_000, 30_000)
_ATTEMPTS: Final = 200

_API_VERSIONS_KEY: Final = 18
_CORRELATION_ID: Final = 0x7A9E


def is_free(port: int, *, host: str = LOOPBACK) -> bool:
    """Return whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As servers do: connections that a former server left in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Return different ports that are free now, outside the range of outgoing connections.

    Raises:
        PrerequisiteError: next to every port is taken.
    """
    ports: set[int] = set()
    # SystemRandom: processes that start at one moment with one seed must not pick the same ports.
    for port in random.SystemRandom().sample(_CANDIDATES, _ATTEMPTS):
        if is_free(port):
            ports.add(port)
        if len(ports) == count:
            return list(ports)
    raise PrerequisiteError(f"no {count} free ports between {_CANDIDATES.start} and {_CANDIDATES.stop}")


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[host]:port`.

    Raises:
        ValueError: there is no port.
    """
    host, _, port = address.strip().rpartition(":")
    return host.strip("[]") or LOOPBACK, int(port)


def speaks_kafka(address: str, *, timeout_s: float = 2.0) -> bool:
    """Return whether a broker answers an ApiVersions request at `host:port`.

    An open port alone proves nothing: a server opens it before it can answer. Only for listeners without TLS.
    Source: Kafka protocol guide, request header v1 and ApiVersions v0.
    """
    client = b"probe"
    body = struct.pack(f">hhih{len(client)}s", _API_VERSIONS_KEY, 0, _CORRELATION_ID, len(client), client)
    try:
        with socket.create_connection(split_address(address), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            with connection.makefile("rb") as answers:
                answer = answers.read(10)
    except OSError:
        return False
    if len(answer) < 10:
        return False
    _size, correlation_id, error_code = struct.unpack(">iih", answer)
    return (correlation_id, error_code) == (_CORRELATION_ID, 0)
