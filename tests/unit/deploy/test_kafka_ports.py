import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.kafka.builtin import BuiltinCluster
from deploy.kafka.ports import free_ports, is_free, speaks_kafka, split_address


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """Serve one connection on loopback: read, answer, close; None for a server that never accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1_024)
                connection.sendall(answer or b"")

        thread = threading.Thread(target=serve)
        if answer is not None:
            thread.start()
        yield server.getsockname()[1]
        if answer is not None:
            thread.join()


def test_free_ports_are_different_free_and_out_of_the_way_of_outgoing_connections() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(is_free(port) and port < 32_768 for port in ports)


def test_a_port_is_taken_while_somebody_listens() -> None:
    with listening(None) as port:
        assert not is_free(port)
    assert is_free(port)


def test_a_cluster_speaks_kafka() -> None:
    with BuiltinCluster({"trades": 1}) as cluster:
        assert speaks_kafka(cluster.bootstrap_servers)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x00\x00\x00\x06\x00\x00\x00\x01\x00\x00",
        b"\x00\x00\x00\x06\x00\x00\x7a\x9e\x00\x23",
    ],
    ids=["closes", "HTTP", "another request's answer", "an error"],
)
def test_another_server_does_not(answer: bytes) -> None:
    with listening(answer) as port:
        assert not speaks_kafka(f"127.0.0.1:{port}")


def test_nobody_and_the_silent_do_not() -> None:
    assert not speaks_kafka(f"127.0.0.1:{free_ports(1)[0]}")
    with listening(None) as port:
        assert not speaks_kafka(f"127.0.0.1:{port}", timeout_s=0.1)


@pytest.mark.parametrize(
    ("address", "parts"),
    [("kafka:19092", ("kafka", 19092)), (" 127.0.0.1:1 ", ("127.0.0.1", 1)), ("[::1]:9092", ("::1", 9092))],
)
def test_an_address_is_split(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts
