"""app/http/connections.py: answers that nobody reads, and more connections than there may be."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable

import pytest

from app.engines.fake import FakeEngine
from app.http.connections import Connections
from app.http.uvicorn_protocol import GuardedProtocol
from tests.conftest import Serve, Served

pytestmark = pytest.mark.anyio

TINY_BUFFER_BYTES = 2048
PIPELINED = 60
TOO_MUCH_WAITED = "connections ended because too many answers waited for readers"
Times = Callable[[int], int]


def get(path: str, served: Served) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token}\r\n\r\n".encode()


def run(served: Served, stream: bool = False) -> bytes:
    body = json.dumps({"prompt": "a", "max_tokens": 4000, "stream": stream}).encode()
    head = f"POST {served.path()} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


UNREAD: dict[str, Callable[[Served], bytes]] = {
    "a static page": lambda served: get("/playground/style.css", served) * PIPELINED,
    "a script": lambda served: get("/playground/playground.js", served) * PIPELINED,
    "the API's document": lambda served: get("/openapi.json", served) * PIPELINED,
    "a unary answer": run,
    "unary answers": lambda served: run(served) * 8,
    "a stream": lambda served: run(served, stream=True),
    "streams": lambda served: run(served, stream=True) * 3,
}


async def deaf(
    served: Served, said: bytes = b"", source: str = "127.0.0.1", buffer_bytes: int = TINY_BUFFER_BYTES
) -> socket.socket:
    """A client that reads nothing by itself, after having sent `said`."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    client.setblocking(False)
    client.bind((source, 0))
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", int(served.url.rpartition(":")[2])))
    if said:
        await loop.sock_sendall(client, said)
    return client


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


def guard(served: Served) -> Connections:
    protocol = served.server.config.http_protocol_class
    assert isinstance(protocol, type)
    assert issubclass(protocol, GuardedProtocol)
    return protocol.guard


def connections(served: Served) -> list[GuardedProtocol]:
    every = served.server.server_state.connections
    return [connection for connection in every if isinstance(connection, GuardedProtocol)]


def connected(served: Served, *clients: socket.socket) -> int:
    """How many of them the server still has."""
    peers = {client.getsockname() for client in clients}
    return sum(connection.client in peers for connection in connections(served))


@pytest.mark.parametrize("kind", UNREAD)
async def test_answers_that_nobody_reads_end_their_connection(serve: Serve, times: Times, kind: str) -> None:
    engine = FakeEngine(answer="x" * 2000, endless=True)
    async with serve(engine, limits={"slow_reader_s": 0.4}) as served:
        clients = [await deaf(served, UNREAD[kind](served)) for _ in range(times(200))]
        assert (await served.client.get("/health")).status_code == 200
        await until(lambda: not connected(served, *clients))
        await until(lambda: not engine.running)
        assert (await served.client.get("/health")).status_code == 200
        for client in clients:
            client.close()


async def test_a_reader_that_takes_a_byte_now_and_then_is_ended_too(serve: Serve) -> None:
    async with serve(limits={"slow_reader_s": 0.4}) as served:
        client = await deaf(served, get("/openapi.json", served) * PIPELINED)
        loop = asyncio.get_running_loop()

        async def nibble() -> None:
            while await loop.sock_recv(client, 1):
                await asyncio.sleep(0.02)

        await until(lambda: connected(served, client) > 0)
        nibbling = asyncio.create_task(nibble())
        await until(lambda: not connected(served, client))
        nibbling.cancel()
        client.close()


async def test_a_slow_reader_that_goes_on_hears_everything(serve: Serve) -> None:
    """At a rate at which it takes several times `slow_reader_s`."""
    async with serve(limits={"slow_reader_s": 0.3}) as served:
        wanted = len((await served.client.get("/openapi.json")).content) * PIPELINED
        client = await deaf(served, get("/openapi.json", served) * PIPELINED, buffer_bytes=65536)
        taken, sweeps, loop = 0, 0, asyncio.get_running_loop()
        async with asyncio.timeout(60):
            while taken < wanted:
                piece = await loop.sock_recv(client, 32768)
                assert piece
                taken += len(piece)
                sweeps += 1
                await asyncio.sleep(0.02)
        assert sweeps * 0.02 > 3 * 0.3
        client.close()


async def test_connections_of_one_peer_are_bounded(serve: Serve, times: Times) -> None:
    """The oldest idle one goes for each new one; who is being answered stays."""
    engine = FakeEngine(delay_s=0.02, endless=True)
    limits = {"max_connections_per_peer": 20, "max_connections": 40}
    async with serve(engine, limits=limits) as served:
        running = asyncio.create_task(served.run({"prompt": "a", "max_tokens": 4000, "stream": True}))
        await until(lambda: bool(engine.running))
        clients = [await deaf(served) for _ in range(times(2000))]
        await until(lambda: len(served.server.server_state.connections) <= 20)
        assert len(guard(served)) == 20
        assert (await served.client.get("/health")).status_code == 200
        other = await deaf(served, get("/health", served), source="127.0.0.2")
        async with asyncio.timeout(5):
            assert (await asyncio.get_running_loop().sock_recv(other, 100)).startswith(b"HTTP/1.1 200")
        assert not running.done()
        assert len(engine.running) == 1
        running.cancel()
        for client in (*clients, other):
            client.close()


@pytest.mark.parametrize("most", [4, 8])
async def test_the_longest_idle_one_makes_room(serve: Serve, most: int) -> None:
    """Not the oldest: that may be the one that is used most. Who has no token stays idle whatever it asks."""
    sources = [f"127.0.0.{number}" if most == 4 else "127.0.0.1" for number in range(1, 9)]
    async with serve(limits={"max_connections_per_peer": 4, "max_connections": most}) as served:
        await served.client.aclose()
        await until(lambda: not len(guard(served)))
        clients = [await deaf(served, source=sources.pop(), buffer_bytes=65536) for _ in range(4)]
        await until(lambda: connected(served, *clients) == 4)
        loop = asyncio.get_running_loop()

        async def ask(client: socket.socket, said: bytes) -> None:
            await loop.sock_sendall(client, said)
            async with asyncio.timeout(5):
                assert (await loop.sock_recv(client, 65536)).startswith(b"HTTP/1.1 200")

        await ask(clients[1], get("/client/v4/user", served))
        await ask(clients[0], get("/client/v4/user", served))
        await ask(clients[2], get("/health", served))
        left = list(clients)
        for gone in (clients[2], clients[3], clients[1], clients[0]):
            new = await deaf(served, get("/client/v4/user", served), sources.pop(), buffer_bytes=65536)
            async with asyncio.timeout(5):
                assert (await loop.sock_recv(new, 65536)).startswith(b"HTTP/1.1 200")  # never refused
            left.remove(gone)
            await until(lambda: not connected(served, gone))  # noqa: B023
            assert connected(served, *left) == len(left)
            clients.append(new)
        for client in clients:
            client.close()


async def test_one_that_made_room_for_another_of_its_peer_counts_no_more_and_the_other_does(
    serve: Serve,
) -> None:
    async with serve(limits={"max_connections_per_peer": 1, "max_connections": 40}) as served:
        clients = [await deaf(served) for _ in range(10)]
        await until(lambda: len(served.server.server_state.connections) <= 1)
        assert len(guard(served)) == 1
        for client in clients:
            client.close()


async def test_refusals_are_told_in_one_line(
    serve: Serve, caplog: pytest.LogCaptureFixture, times: Times
) -> None:
    async with serve(limits={"max_connections_per_peer": 2, "max_connections": 4}) as served:
        caplog.set_level(logging.INFO)
        caplog.clear()
        served.app.tally._tell_s = 0.3 * times(40)
        clients = [await deaf(served) for _ in range(times(2000))]
        await until(lambda: bool(caplog.messages))
        assert len(caplog.messages) == 1
        assert "connections without a valid token ended for others" in caplog.messages[0]
        for client in clients:
            client.close()


async def test_where_everybody_is_being_answered_more_are_refused(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.02, endless=True)
    async with serve(engine, limits={"max_connections_per_peer": 4, "max_connections": 8}) as served:
        clients = [await deaf(served, run(served, stream=True)) for _ in range(3)]
        await until(lambda: len(engine.running) == 3)
        clients.append(await deaf(served, run(served, stream=True)))  # the test's own client made room
        await until(lambda: len(engine.running) == 4)
        refused = await deaf(served)
        async with asyncio.timeout(5):
            answer = await asyncio.get_running_loop().sock_recv(refused, 2000)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert json.loads(body)["errors"][0]["code"] == 7007
        assert len(engine.running) == 4
        assert not engine.aborted
        for client in (*clients, refused):
            client.close()


async def test_what_waits_for_readers_is_bounded_in_all(serve: Serve, times: Times) -> None:
    async with serve(limits={"max_unread_bytes": 1_000_000, "slow_reader_s": 3600}) as served:
        clients = [await deaf(served, get("/openapi.json", served) * PIPELINED) for _ in range(times(1000))]
        waiting = served.server.server_state.connections

        def unread() -> int:
            return sum(connection.transport.get_write_buffer_size() for connection in waiting)

        await until(lambda: bool(served.app.tally._counted[TOO_MUCH_WAITED]))
        await until(lambda: unread() <= 1_000_000)
        assert (await served.client.get("/health")).status_code == 200
        for client in clients:
            client.close()
