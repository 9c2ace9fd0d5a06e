"""The proxy does to connections what it says, and says what it did."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import HOST, Direction, Proxy

DEADLINE_SECONDS = 5


class Echo:
    """A server that answers every piece with the same bytes and remembers what it got."""

    def __init__(self) -> None:
        self.received = b""
        self.connections = 0
        self.ended = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while piece := await reader.read(65536):
                self.received += piece
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.ended.set()
            writer.close()


@asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    """Run an echo server."""
    served = Echo()
    server = await asyncio.start_server(served.serve, HOST, 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


@pytest.fixture
async def server() -> AsyncIterator[Echo]:
    """Give an echo server."""
    async with echo() as served:
        yield served


@pytest.fixture
async def proxy(server: Echo) -> AsyncIterator[Proxy]:
    """Give a proxy before it."""
    async with Proxy(server.port) as started:
        yield started


class Client:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, proxy: Proxy) -> "Client":
        return cls(*await asyncio.open_connection(HOST, proxy.port))

    async def say(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def hear(self, count: int, seconds: float = DEADLINE_SECONDS) -> bytes:
        async with asyncio.timeout(seconds):
            return await self.reader.readexactly(count)

    async def ask(self, text: bytes) -> bytes:
        await self.say(text)
        return await self.hear(len(text))

    async def hears_nothing(self, seconds: float = 0.2) -> bool:
        try:
            await self.hear(1, seconds)
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    """Give a connection that works."""
    connected = await Client.connect(proxy)
    assert await connected.ask(b"hello") == b"hello"
    yield connected
    connected.writer.close()


async def until(condition: object, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until a callable returns something true."""
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  the conditions are plain values
            await asyncio.sleep(0.005)


async def test_it_passes_large_streams_unchanged(client: Client) -> None:
    """More than any buffer holds."""
    text = bytes(range(256)) * 40_000
    sending = asyncio.create_task(client.say(text))
    assert await client.hear(len(text)) == text
    await sending


async def test_it_passes_the_end_of_a_stream(client: Client, server: Echo) -> None:
    """A half-close goes through, and the answer still comes back."""
    client.writer.write(b"bye")
    client.writer.write_eof()
    assert await client.hear(3) == b"bye"
    assert await client.reader.read() == b""
    assert server.ended.is_set()


async def test_delay_adds_latency_and_keeps_throughput(proxy: Proxy, client: Client) -> None:
    """Twenty pieces sent at once are late by one delay, not by twenty."""
    proxy.delay(0.2, Direction.TO_CLIENT)
    clock = asyncio.get_running_loop().time
    start = clock()
    for number in range(20):
        await client.say(b"%02d" % number)
    assert await client.hear(40) == b"".join(b"%02d" % number for number in range(20))
    assert 0.2 <= clock() - start < 1.0
    assert proxy.struck["delay"] >= 1


async def test_hold_loses_nothing(proxy: Proxy, client: Client, server: Echo) -> None:
    """Held bytes arrive after healing, on the same connection."""
    proxy.hold()
    await client.say(b"waiting")
    assert await client.hears_nothing()
    assert server.received == b"hello"
    await proxy.heal()
    assert await client.hear(7) == b"waiting"
    assert proxy.struck["hold"] == 1


async def test_one_connection_is_held_and_others_go_on(proxy: Proxy, client: Client, server: Echo) -> None:
    """From the bytes on that were meant, until it is healed."""
    other = await Client.connect(proxy)
    proxy.hold_at(lambda piece: b"meant" in piece)
    assert await client.ask(b"before") == b"before"
    await client.say(b"meant")
    await client.say(b" and more")
    assert await client.hears_nothing()
    assert await other.ask(b"meant too") == b"meant too"
    await proxy.heal()
    assert await client.hear(14) == b"meant and more"
    assert proxy.struck["hold_at"] == 1
    other.writer.close()


async def test_swallow_tells_no_one(proxy: Proxy, client: Client, server: Echo) -> None:
    """Old and new connections stay open, nothing arrives; healing resets them, since their streams have holes."""
    proxy.swallow()
    await client.say(b"lost")
    fresh = await Client.connect(proxy)
    await fresh.say(b"lost too")
    assert await client.hears_nothing()
    assert await fresh.hears_nothing()
    assert (server.received, server.connections) == (b"hello", 1)
    assert proxy.struck["swallow"] == 2
    await proxy.heal()
    for broken in (client, fresh):
        with pytest.raises(ConnectionResetError):
            await broken.hear(1)
    assert await (await Client.connect(proxy)).ask(b"again") == b"again"


async def test_swallowing_answers_only_lets_requests_through(proxy: Proxy, client: Client, server: Echo) -> None:
    """The server acts, the client never learns."""
    proxy.swallow(Direction.TO_CLIENT)
    fresh = await Client.connect(proxy)
    await client.say(b" old")
    await fresh.say(b" new")
    await until(lambda: b" old" in server.received and b" new" in server.received)
    assert await client.hears_nothing()
    assert await fresh.hears_nothing()


async def test_cut_closes_in_good_order(proxy: Proxy, client: Client, server: Echo) -> None:
    """Both sides read an end of file; new connections work."""
    assert proxy.cut() == 1
    assert await client.reader.read() == b""
    await until(server.ended.is_set)
    assert await (await Client.connect(proxy)).ask(b"again") == b"again"
    assert proxy.struck["cut"] == 1


async def test_reset_breaks_the_connection(proxy: Proxy, client: Client) -> None:
    """The client gets an error, not an end of file."""
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        await client.hear(1)
    assert await (await Client.connect(proxy)).ask(b"again") == b"again"


async def test_refuse_until_healed_on_the_same_port(proxy: Proxy, client: Client) -> None:
    """Old connections are reset, new ones refused; afterwards the address is the old one."""
    address = proxy.address
    await proxy.refuse()
    with pytest.raises(ConnectionResetError):
        await client.hear(1)
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(proxy)
    await proxy.heal()
    assert proxy.address == address
    assert await (await Client.connect(proxy)).ask(b"again") == b"again"


async def test_cut_at_a_text_that_is_still_delivered(proxy: Proxy, client: Client, server: Echo) -> None:
    """The outcome the sender cannot know: done, but the answer is lost. It strikes once."""
    proxy.cut_at(b"COMMIT")
    assert await client.ask(b"BEGIN") == b"BEGIN"
    await client.say(b"COMMIT")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await client.hear(6)
    await until(lambda: server.received.endswith(b"COMMIT"))
    assert await (await Client.connect(proxy)).ask(b"COMMIT") == b"COMMIT"
    assert proxy.struck["cut_at"] == 1


async def test_cut_at_a_text_that_is_lost_with_the_connection(proxy: Proxy, client: Client, server: Echo) -> None:
    """The other ambiguous outcome: not done."""
    proxy.cut_at(b"COMMIT", delivered=False)
    await client.say(b"COMMIT")
    with pytest.raises(ConnectionResetError):
        await client.hear(6)
    await until(server.ended.is_set)
    assert server.received == b"hello"


async def test_a_server_that_is_down_resets_its_clients() -> None:
    """The proxy does not pretend that someone is there."""
    async with echo() as gone:
        port = gone.port
    async with Proxy(port) as proxy:
        client = await Client.connect(proxy)
        with pytest.raises(ConnectionResetError):
            await client.hear(1)


async def test_stopping_leaves_nothing_open(server: Echo) -> None:
    """Connections end with the proxy, also those in a black hole."""
    proxy = await Proxy(server.port).start()
    client = await Client.connect(proxy)
    await client.ask(b"hello")
    proxy.swallow()
    await Client.connect(proxy)
    await until(lambda: proxy.connections == 2)
    await proxy.stop()
    assert proxy.open_connections == 0
    with pytest.raises(ConnectionResetError):
        await client.hear(1)
