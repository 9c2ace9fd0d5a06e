"""The other workers: who serves which partition, by Faust's assignment, and asking them over HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, NoReturn

import aiohttp
import msgspec
from aiohttp import hdrs
from yarl import URL

from streams import tls
from streams.secured import web_files
from streams.unexpected import Library
from tables.web.cluster.peer_hosts import Elsewhere, PeerHosts, Resolver, is_address
from tables.web.proofs import Proofs
from tables.web.worker import Worker

log = logging.getLogger(__name__)

PEER_SECONDS: Final = 1.0
"""How long another worker may take to answer; then its rows are missing, with a note."""

MAX_ANSWER_BYTES: Final = 64 * 1024**2
"""The longest answer has every window of a worker's markets: four of 20 000 markets, at 700 bytes each, are 56 MB."""

NOTES: Final = "X-Liqmon-Notes"
"""Header of answers that lack something: what, and why. The body of ``/api/windows`` is the plain list."""


MOST_SAID: Final = 100
NOT_NAMED: Final = "WEB_PEER_HOSTS does not name it"
NO_TLS: Final = "it has no TLS, and WEB_TLS_CERTFILE is set here"
REFUSED: Final = "its WEB_PEER_SECRET or its clock is another, or it is of an earlier release"
NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)

NONSENSE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding another program's answer may raise."""


class PeerDown(Exception):
    """Another worker did not answer in time, or not as one of this program."""


HTTP: Final = Library("the client for other workers", PeerDown, aiohttp.ClientError, OSError, TimeoutError, *NONSENSE)


class Answer:
    """What another worker said; ``notes`` is what its answer lacks."""

    __slots__ = ("body", "content_type", "notes", "status")

    def __init__(self, status: int, content_type: str, body: bytes, notes: str = "") -> None:
        self.status = status
        self.content_type = content_type
        self.body = body
        self.notes = notes


class Cluster:
    """The workers of the group. ``here`` is the address under which this one is announced."""

    def __init__(self, worker: Worker, proofs: Proofs) -> None:
        self._worker = worker
        self._settings = worker.settings
        self._proofs = proofs
        self._hosts = PeerHosts(
            worker.settings.web_peer_hosts, lambda: URL(worker.address).host or "", worker.member_hosts
        )
        # Addresses of which it was said that they are not asked.
        self._said: set[str] = set()
        self._session: aiohttp.ClientSession | None = None

    @property
    def here(self) -> str:
        """The address under which this worker is announced."""
        return self._worker.address

    def partitions(self) -> dict[str, list[int]]:
        """Return each worker's partitions of the topic ``trades``; this worker is always among them."""
        found: dict[str, list[int]] = {self.here: []}
        found |= {url: list(partitions) for url, partitions in self._worker.assignment().items()}
        return dict(sorted(found.items()))

    def peers(self) -> list[str]:
        """Return the addresses of the other workers."""
        return [url for url in self.partitions() if url != self.here]

    def owner(self, partition: int) -> str | None:
        """Return the address of the worker that a partition is assigned to, if any."""
        return next((url for url, partitions in self.partitions().items() if partition in partitions), None)

    @asynccontextmanager
    async def ask(
        self, url: str, path: str, query: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask another worker, and prove that a worker asks. Raises what the client raises."""
        target = URL(f"{url}{path}").with_query(query)
        if (host := target.host or "") and is_address(host) and not await self._hosts.allows(host, [host]):
            self._refuse(url, NOT_NAMED)
        if self._settings.web_scheme == "https" and target.scheme != "https":
            self._refuse(url, NO_TLS)
        headers = self._proofs.headers(hdrs.METH_GET, url, target.raw_path_qs)
        trusting = tls.context(web_files(self._settings)._replace(certificate=None, key=None))
        try:
            asked = await self._opened().get(
                target, headers=headers, timeout=limits, allow_redirects=False, ssl=trusting
            )
        except Elsewhere:
            self._refuse(url, NOT_NAMED)
        except aiohttp.ClientConnectorCertificateError as error:
            fault = tls.certificate_fault(error.certificate_error, "WEB_TLS")
            raise PeerDown(f"{url} does not answer: {fault}") from None
        async with asked as response:
            if response.status == HTTPStatus.UNAUTHORIZED:
                raise PeerDown(f"{url} does not accept this worker: {REFUSED}")
            yield response

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(resolver=Resolver(self._hosts))
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    def _refuse(self, url: str, reason: str) -> NoReturn:
        problem = f"{url} is not asked: {reason}"
        if url not in self._said and len(self._said) < MOST_SAID:
            self._said.add(url)
            log.warning("a worker of the group at %s", problem)
        raise PeerDown(problem)

    async def get(self, url: str, path: str, query: Mapping[str, str]) -> Answer:
        """Ask another worker. Raises :class:`PeerDown` where it does not answer within a second."""
        try:
            async with asyncio.timeout(PEER_SECONDS), self.ask(url, path, query, NO_TIMEOUT) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        break
                else:
                    return Answer(response.status, response.content_type, bytes(body), response.headers.get(NOTES, ""))
        except PeerDown:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, its rows are missing, with a note
            HTTP.notice(error)
            raise PeerDown(f"{url} does not answer ({type(error).__name__})") from None
        raise PeerDown(f"{url} answers without an end")

    async def get_all(self, path: str, query: Mapping[str, str]) -> dict[str, Answer | PeerDown]:
        """Ask all other workers at once; return what each answered, or that it did not."""

        async def ask(url: str) -> Answer | PeerDown:
            try:
                return await self.get(url, path, query)
            except PeerDown as down:
                return down

        peers = self.peers()
        return dict(zip(peers, await asyncio.gather(*map(ask, peers)), strict=True))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
