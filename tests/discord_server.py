"""Discord's webhooks on a local socket: the stand-in that tests and the fault harness talk to instead of Discord.

It answers as API v10 does, refuses what Discord refuses, keeps every message with its edits, and fails on request.
Run it by itself with ``python -m tests.discord_server PORT``.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import SecretStr

WEBHOOK_ID: Final = "1150000000000000001"
TOKEN: Final = "s3cret-Token_of-the-webhook"
USER_AGENT: Final = re.compile(r"DiscordBot \(\S+, \S+\)(?: .*)?")
HOST_WITH_TLD: Final = re.compile(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]+", re.IGNORECASE)

Json = dict[str, Any]


@dataclass(frozen=True)
class Behaviour:
    """What happens to one request instead of the usual.

    ``status`` answers so, without keeping the message; ``retry_after`` (seconds) goes with 429. ``page`` answers with a
    page instead of JSON, as proxies do. ``keep`` stores the message first, ``cut`` closes the connection without an
    answer, ``delay_seconds`` waits before anything else, and so does ``until`` for an event.
    """

    status: int | None = None
    code: int = 0
    page: bool = False
    retry_after: float | None = None
    keep: bool = False
    cut: bool = False
    delay_seconds: float = 0.0
    until: asyncio.Event | None = None


def rate_limited(retry_after: float) -> Behaviour:
    """429 with the time to wait, in seconds."""
    return Behaviour(status=429, retry_after=retry_after)


def accepted_then_dropped() -> Behaviour:
    """Keep the message and cut the connection: the sender cannot know."""
    return Behaviour(keep=True, cut=True)


def webhook_gone(status: int = 404) -> Behaviour:
    """Answer as Discord does after the webhook was deleted (404), or where its token is wrong (401)."""
    return Behaviour(status=status, code={404: 10015, 401: 50027}[status])


def page_of_a_proxy(status: int) -> Behaviour:
    """Answer as a proxy does that knows nothing of Discord: with a page, and to 429 without a time."""
    return Behaviour(status=status, page=True)


def shut(status: int, code: int) -> Behaviour:
    """Answer as Discord does for a webhook that exists and cannot post: 400 for forums and archived threads, or 403."""
    return Behaviour(status=status, code=code)


@dataclass
class StoredMessage:
    """A message as Discord keeps it: ``body`` is what it shows now, ``versions`` all it has shown, oldest first."""

    message_id: str
    versions: list[Json] = field(default_factory=list)
    deleted: bool = False

    @property
    def body(self) -> Json:
        return self.versions[-1]

    @property
    def embed(self) -> Json:
        embed: Json = self.body["embeds"][0]
        return embed

    @property
    def identity(self) -> str:
        """The identity of the message's only alert."""
        (identity,) = self.identities
        return identity

    @property
    def identities(self) -> list[str]:
        """Which alerts the message shows now, from the footers of its embeds."""
        return [embed["footer"]["text"] for embed in self.body["embeds"]]

    def embed_of(self, identity: str) -> Json:
        """Return what the message says of one alert."""
        return next(embed for embed in self.body["embeds"] if embed["footer"]["text"] == identity)


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    user_agent: str
    body: Json | None
    at_seconds: float


class DiscordServer:
    """One webhook. ``script`` holds behaviours for the next requests, ``always`` for all of them while it is set.

    ``limit`` requests are taken in ``per_seconds``, then 429 is answered; the headers say how many are left.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, limit: int = 1000, per_seconds: float = 2.0) -> None:
        self.host = host
        self.port = port
        self.limit = limit
        self.per_seconds = per_seconds
        self.messages: list[StoredMessage] = []
        self.requests: list[Seen] = []
        self.script: deque[Behaviour] = deque()
        self.always: Behaviour | None = None
        self.limited = 0
        self._bucket_ends = 0.0
        self._left = limit
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Listen; on the same port as before if it was stopped."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse connections from now on; what was kept stays."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> "DiscordServer":
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    @property
    def base(self) -> str:
        """The value for DISCORD_API_BASE."""
        return f"http://{self.host}:{self.port}"

    @property
    def webhook(self) -> SecretStr:
        """The webhook's address as Discord's interface shows it: unversioned."""
        return SecretStr(f"https://discord.com/api/webhooks/{WEBHOOK_ID}/{TOKEN}")

    def of(self, identity: str) -> list[StoredMessage]:
        """Return the messages about one alert."""
        return [message for message in self.messages if identity in message.identities]

    async def until(self, condition: Any, timeout_seconds: float = 10.0) -> None:
        """Wait until ``condition()`` holds, looking after every request."""
        async with asyncio.timeout(timeout_seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        agent = request.headers.get("User-Agent", "")
        self.requests.append(Seen(request.method, request.path, dict(request.query), agent, body, time.monotonic()))
        try:
            return await self._behave(request, body, agent)
        finally:
            self._changed.set()

    async def _behave(self, request: web.Request, body: Json | None, agent: str) -> web.StreamResponse:
        behaviour = self.always or (self.script.popleft() if self.script else Behaviour())
        if behaviour.delay_seconds:
            await asyncio.sleep(behaviour.delay_seconds)
        if behaviour.until is not None:
            await behaviour.until.wait()
        if behaviour.status is not None:
            return self._answer_status(behaviour)
        limited = self._take_token()
        if limited is not None:
            return limited
        answer = self._execute(request, body, agent)
        if behaviour.cut:
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError
        answer.headers.update(self._limit_headers())
        return answer

    def _answer_status(self, behaviour: Behaviour) -> web.Response:
        assert behaviour.status is not None
        if behaviour.page:
            page = "<html><body><h1>nginx</h1></body></html>"
            return web.Response(status=behaviour.status, text=page, content_type="text/html")
        if behaviour.status == 429:
            retry_after = behaviour.retry_after or 0.0
            headers = {"Retry-After": str(retry_after), "X-RateLimit-Scope": "shared"}
            body: Json = {"message": "You are being rate limited.", "retry_after": retry_after, "global": False}
            return web.json_response(body, status=429, headers=headers)
        return web.json_response({"message": "scripted", "code": behaviour.code}, status=behaviour.status)

    def _take_token(self) -> web.Response | None:
        now = time.monotonic()
        if now >= self._bucket_ends:
            self._bucket_ends, self._left = now + self.per_seconds, self.limit
        if self._left > 0:
            self._left -= 1
            return None
        self.limited += 1
        retry_after = self._bucket_ends - now
        body: Json = {"message": "You are being rate limited.", "retry_after": retry_after, "global": False}
        headers = {"Retry-After": str(retry_after), **self._limit_headers()}
        return web.json_response(body, status=429, headers=headers)

    def _limit_headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self._left),
            "X-RateLimit-Reset-After": f"{max(0.0, self._bucket_ends - time.monotonic()):.3f}",
            "X-RateLimit-Bucket": "local",
        }

    def _execute(self, request: web.Request, body: Json | None, agent: str) -> web.Response:
        match = re.fullmatch(r"/api/v10/webhooks/(\d+)/([\w-]+)(?:/messages/(\d+))?", request.path)
        if match is None or (match[1], match[2]) != (WEBHOOK_ID, TOKEN):
            return refusal(404, 10015, "Unknown Webhook")
        if not USER_AGENT.fullmatch(agent):
            return refusal(403, 40333, "invalid User-Agent")
        faults = ["not JSON"] if body is None else faults_of(body)
        if body is None or faults:
            return web.json_response({"message": "Invalid Form Body", "code": 50035, "errors": faults}, status=400)
        if request.method == "POST" and match[3] is None:
            return self._post(body, wait=request.query.get("wait") == "true")
        if request.method == "PATCH" and match[3] is not None:
            return self._edit(match[3], body)
        return refusal(405, 0, "405: Method Not Allowed")

    def _post(self, body: Json, *, wait: bool) -> web.Response:
        message = StoredMessage(str(1150000000000001000 + len(self.messages)), [body])
        self.messages.append(message)
        return web.json_response({"id": message.message_id, **body}) if wait else web.Response(status=204)

    def _edit(self, message_id: str, body: Json) -> web.Response:
        for message in self.messages:
            if message.message_id == message_id and not message.deleted:
                message.versions.append(body)
                return web.json_response({"id": message_id, **body})
        return refusal(404, 10008, "Unknown Message")


def refusal(status: int, code: int, text: str) -> web.Response:
    """Answer with an error as Discord words it."""
    return web.json_response({"message": text, "code": code}, status=status)


def faults_of(body: Json) -> list[str]:
    """Return what Discord would refuse in a message's body."""
    faults = []
    content, embeds = body.get("content", ""), body.get("embeds", [])
    if not content and not embeds:
        faults.append("the message is empty")
    if len(content) > 2000:
        faults.append("content is longer than 2000")
    if len(embeds) > 10:
        faults.append("more than 10 embeds")
    total = 0
    for embed in embeds:
        fields = embed.get("fields", [])
        if len(fields) > 25:
            faults.append("more than 25 fields")
        limits = [("title", embed.get("title", ""), 256), ("description", embed.get("description", ""), 4096)]
        limits.append(("footer", embed.get("footer", {}).get("text", ""), 2048))
        for entry in fields:
            limits += [("field name", entry["name"], 256), ("field value", entry["value"], 1024)]
            if not entry["name"].strip() or not entry["value"].strip():
                faults.append("a field is empty")
        faults += [f"{name} is longer than {limit}" for name, text, limit in limits if len(text) > limit]
        total += sum(len(text) for _, text, _ in limits)
        url = embed.get("url")
        # Discord takes no host without a top-level domain for a URL.
        if url is not None and (len(url) > 2048 or not HOST_WITH_TLD.fullmatch(urlsplit(url).hostname or "")):
            faults.append("Not a well formed URL.")
        if not 0 <= embed.get("color", 0) <= 0xFFFFFF:
            faults.append("color is out of range")
    urls = [embed["url"] for embed in embeds if "url" in embed]
    if len(urls) > len(set(urls)):
        faults.append("embeds with the same url are shown as one")
    if total > 6000:
        faults.append("embeds hold more than 6000 characters")
    return faults


async def main(port: int) -> None:
    """Serve until interrupted: the settings that lead to it, then one line a message."""
    async with DiscordServer(port=port, limit=5) as server:
        print(f"DISCORD_API_BASE={server.base}")  # noqa: T201 - for whoever started it
        print(f"DISCORD_WEBHOOK_URL_2={server.webhook.get_secret_value()}", flush=True)  # noqa: T201 - as above
        shown: list[StoredMessage] = []
        while True:
            await server.until(lambda: len(server.messages) > len(shown), timeout_seconds=1e9)
            for message in server.messages[len(shown) :]:
                print(message.body["content"], flush=True)  # noqa: T201 - a person watches
                shown.append(message)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
