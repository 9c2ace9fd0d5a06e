"""The channel Discord, by its webhook API v10: it keeps to the pace, and says what an error means for delivery."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import aiohttp
from pydantic import SecretStr

from agents.delivery.base import Ambiguous, Backlog, Channel, NotDelivered, Notice
from agents.delivery.digest import MOST_EMBEDS, digest
from agents.delivery.message import Message, message
from agents.delivery.refusals import refusal, seconds
from streams.errors import BadSetting, MonitorError
from streams.unexpected import Library
from streams.webhook import parse_base, parse_webhook

HTTP: Final = Library("the Discord client", aiohttp.ClientError, OSError, TimeoutError, hide_text=True)

# Discord requires this form. The program has no home page; the domain is one that can belong to nobody.
USER_AGENT: Final = f"DiscordBot (https://liquidation-monitor.example, {version('liquidation-monitor')})"

# Discord answers in well under a second. A channel must end a request within 20 s.
REQUEST_TIMEOUT_SECONDS: Final = 10.0
# Shorter than the whole request, so that a connection that never came is known for one: nothing was sent then.
CONNECT_TIMEOUT_SECONDS: Final = 5.0
# What a channel takes in practice, whatever its headers say of shorter times.
POSTS_A_MINUTE: Final = 30
# Discord's answers have a few kilobytes. A server that sends more is another.
MAX_ANSWER_BYTES: Final = 1 << 16


class Discord(Channel):
    """One webhook. Its token is in no error text and no representation.

    ``web_url`` is the address of the web view, for links. ``venue_names`` are venues' names for people.
    """

    name = "Discord"
    address = "webhook"
    most_notices = MOST_EMBEDS
    posts_a_minute = POSTS_A_MINUTE
    remedy = "Put a working address into DISCORD_WEBHOOK_URL_2 or DISCORD_WEBHOOK_URL and restart"

    def __init__(
        self,
        webhook: SecretStr,
        *,
        api_base: str,
        web_url: str = "",
        venue_names: Mapping[str, str] | None = None,
        request_timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> None:
        """Take the webhook as Discord shows it. Raises :class:`BadSetting` for any other text."""
        self._url, self._query = webhook_url(webhook, api_base)
        self._web_url = web_url
        self._venue_names = venue_names or {}
        self._session: aiohttp.ClientSession | None = None
        # The time to connect covers the look-up of the name too: nothing was sent until then.
        self._timeout = aiohttp.ClientTimeout(total=request_timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS)
        self._ready_at = 0.0

    def wait_seconds(self) -> float:
        """Return how long the rate limit asks to wait before the next request."""
        return max(0.0, self._ready_at - asyncio.get_running_loop().time())

    async def post(self, *notices: Notice, backlog: Backlog | None = None) -> str:
        """Post a message, and return its id."""
        body = self._body(notices, backlog)
        answer = await self._request("POST", self._url, {**self._query, "wait": "true"}, body)
        message_id = answer.get("id")
        if not isinstance(message_id, str) or not message_id:
            raise Ambiguous("Discord accepted the message and named no id")
        return message_id

    async def edit(self, message_id: str, *notices: Notice) -> None:
        """Replace a posted message."""
        answer = await self._request("PATCH", f"{self._url}/messages/{message_id}", self._query, self._body(notices))
        if answer.get("id") != message_id:
            raise Ambiguous("Discord accepted the edit and named another message, or none")

    def _body(self, notices: Sequence[Notice], backlog: Backlog | None = None) -> Message:
        if len(notices) == 1:
            return message(notices[0], web_url=self._web_url, venue_names=self._venue_names)
        return digest(notices, web_url=self._web_url, venue_names=self._venue_names, backlog=backlog)

    async def close(self) -> None:
        """Close the session; a later request opens another."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(self, method: str, url: str, query: dict[str, str], body: Message) -> dict[str, Any]:
        if self._session is None:
            # A fresh connection each time. On a kept one, nobody can tell whether the server closed it before or after
            # it took the message.
            connector = aiohttp.TCPConnector(force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, headers={"User-Agent": USER_AGENT}
            )
        try:
            async with self._session.request(method, url, params=query, json=body, allow_redirects=False) as response:
                self._keep_pace(response)
                if response.status < 300:
                    return await _json(response)
                refusal = await self._refusal(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotDelivered(f"no connection to Discord: {type(error).__name__}") from None
        except Exception as error:  # noqa: BLE001 - whatever it is, the request may have been written
            HTTP.notice(error)
            # The exception itself may carry the address, and with it the token.
            raise Ambiguous(f"Discord gave no answer: {type(error).__name__}") from None
        raise refusal

    async def _refusal(self, response: aiohttp.ClientResponse) -> MonitorError:
        error = refusal(response.status, await _json(response), response.headers, self._query.get("thread_id"))
        if isinstance(error, NotDelivered):
            self._wait(error.retry_after_seconds)
        return error

    def _keep_pace(self, response: aiohttp.ClientResponse) -> None:
        if response.headers.get("X-RateLimit-Remaining") == "0":
            self._wait(seconds(response.headers.get("X-RateLimit-Reset-After")) or 0.0)

    def _wait(self, seconds: float) -> None:
        self._ready_at = max(self._ready_at, asyncio.get_running_loop().time() + seconds)


def webhook_url(webhook: SecretStr, api_base: str) -> tuple[str, dict[str, str]]:
    """Return the webhook's address in API v10, and the query it needs (a thread's id).

    Its host is that of ``api_base``, or the webhook's own where ``api_base`` is empty. Raises :class:`BadSetting`,
    without the value, for a text that is no webhook's address.
    """
    try:
        parts = parse_webhook(webhook.get_secret_value())
    except ValueError as error:
        raise BadSetting(f"DISCORD_WEBHOOK_URL or DISCORD_WEBHOOK_URL_2 {error}") from None
    try:
        base = parse_base(api_base) if api_base else parts.base
    except ValueError as error:
        raise BadSetting(f"DISCORD_API_BASE {error}") from None
    return f"{base}{parts.path}", {"thread_id": parts.thread_id} if parts.thread_id else {}


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Return the answer's JSON object. Return an empty one for any other answer, such as a proxy's page."""
    data = bytearray()
    async for chunk in response.content.iter_chunked(MAX_ANSWER_BYTES):
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            return {}
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
