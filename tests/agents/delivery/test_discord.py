"""Discord's client: v10, paced by headers, and each failure named by what it means for the message."""

import asyncio
import logging
import socket
import traceback
from collections.abc import AsyncIterator

import aiohttp
import pytest
from pydantic import SecretStr

from agents.delivery import message as embeds
from agents.delivery.base import Ambiguous, ChannelGone, ChannelShut, MessageGone, MessageRefused, NotDelivered, Notice
from agents.delivery.discord import Discord, webhook_url
from streams.errors import BadSetting
from streams.settings import load_settings
from tests.agents.factories import an_alert
from tests.discord_server import (
    TOKEN,
    WEBHOOK_ID,
    Behaviour,
    DiscordServer,
    accepted_then_dropped,
    page_of_a_proxy,
    rate_limited,
    shut,
    webhook_gone,
)
from tests.lost_writes import writes_that_fail

WEB = "https://monitor.example.com"
NAMES = {"kraken_spot": "Kraken Spot"}
NOTICE = Notice(an_alert())
MESSAGE = embeds.message(NOTICE, web_url=WEB, venue_names=NAMES)
BASE = "https://discord.com"


@pytest.fixture
async def client(discord: DiscordServer) -> AsyncIterator[Discord]:
    """Give a client of the local Discord."""
    client = Discord(discord.webhook, api_base=discord.base, web_url=WEB, venue_names=NAMES, request_timeout_seconds=5)
    yield client
    await client.close()


@pytest.mark.parametrize(
    "given",
    [
        f"https://discord.com/api/webhooks/1/{TOKEN}",
        f"https://discord.com/api/v6/webhooks/1/{TOKEN}",
        f"https://discord.com/api/v10/webhooks/1/{TOKEN}/",
        f"https://discordapp.com/api/webhooks/1/{TOKEN}?wait=false",
        f" https://canary.discord.com/api/v9/webhooks/1/{TOKEN}\n",
    ],
)
def test_any_version_of_the_address_becomes_v10(given: str) -> None:
    """Unversioned addresses mean v6, where times are in milliseconds: v10 is pinned."""
    assert webhook_url(SecretStr(given), BASE) == (f"{BASE}/api/v10/webhooks/1/{TOKEN}", {})


@pytest.mark.parametrize(
    ("given", "base"),
    [
        (f"https://discord.com/api/webhooks/1/{TOKEN}", "https://discord.com"),
        (f"https://ptb.discord.com/api/webhooks/1/{TOKEN}", "https://discord.com"),
        (f"http://127.0.0.1:8080/api/webhooks/1/{TOKEN}", "http://127.0.0.1:8080"),
    ],
)
def test_without_a_base_the_webhooks_own_host_is_asked(given: str, base: str) -> None:
    """A server that speaks Discord's protocol is reached by its webhook's address alone."""
    assert webhook_url(SecretStr(given), "") == (f"{base}/api/v10/webhooks/1/{TOKEN}", {})


def test_a_thread_is_kept() -> None:
    """A webhook's address may name a thread to post to."""
    address = SecretStr(f"https://discord.com/api/webhooks/1/{TOKEN}?wait=true&thread_id=42")
    assert webhook_url(address, BASE)[1] == {"thread_id": "42"}


@pytest.mark.parametrize(
    "given",
    [
        "nonsense",
        f"https://a.example/{TOKEN}",
        f"https://discord.com/api/webhooks/{TOKEN}",
        f"http://discord.com/api/webhooks/1/{TOKEN}",
        f"HTTP://Discord.com.:80/api/webhooks/1/{TOKEN}",
        f"http://discordapp.com/api/webhooks/1/{TOKEN}",
        f"https://discord.com@evil.example/api/webhooks/1/{TOKEN}",
        f"https://user:{TOKEN}@discord.com/api/webhooks/1/{TOKEN}",
        f"https://discord.com\\@evil.example/api/webhooks/1/{TOKEN}",
        f"https://evil.example\\.discord.com/api/webhooks/1/{TOKEN}",
    ],
)
def test_a_wrong_address_stops_the_start_without_being_shown(given: str) -> None:
    """The error names the variable and the form, not the value."""
    with pytest.raises(BadSetting, match="DISCORD_WEBHOOK_URL") as raised:
        Discord(SecretStr(given), api_base="")
    assert TOKEN not in str(raised.value)
    with pytest.raises(BadSetting, match="DISCORD_WEBHOOK_URL_2: must") as raised:
        load_settings(discord_webhook_url_2=given)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    "base",
    ["discord.com/api", "http://discord.com", "https://user:pass@discord.com", "https://discord.com@evil.example"],
)
def test_a_wrong_base_stops_the_start(base: str) -> None:
    """DISCORD_API_BASE must be an address without a path, and the token goes nowhere in clear."""
    with pytest.raises(BadSetting, match="DISCORD_API_BASE"):
        Discord(SecretStr(f"https://discord.com/api/webhooks/1/{TOKEN}"), api_base=base)


async def test_a_post_waits_for_the_message_and_returns_its_id(client: Discord, discord: DiscordServer) -> None:
    """wait=true, a valid User-Agent, no mentions."""
    message_id = await client.post(NOTICE)
    (message,) = discord.messages
    (request,) = discord.requests
    assert message_id == message.message_id
    assert message.body == MESSAGE
    assert request.path == f"/api/v10/webhooks/{WEBHOOK_ID}/{TOKEN}"
    assert request.query == {"wait": "true"}
    assert request.user_agent.startswith("DiscordBot (")


async def test_an_error_that_no_client_should_raise_leaves_the_outcome_open(
    client: Discord, discord: DiscordServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The request may have been written by then; the token is in no line of the log."""
    port = int(discord.base.rpartition(":")[2])
    with writes_that_fail(port) as failed, pytest.raises(Ambiguous):
        await client.post(NOTICE)
    assert failed
    assert TOKEN not in caplog.text
    assert await client.post(NOTICE)


async def test_an_edit_replaces_the_message(client: Discord, discord: DiscordServer) -> None:
    """The posted message is patched; no second one appears."""
    message_id = await client.post(NOTICE)
    notice = Notice(an_alert(severity="HIGH"), escalated_to="CRITICAL")
    await client.edit(message_id, notice)
    (message,) = discord.messages
    assert message.versions == [MESSAGE, embeds.message(notice, web_url=WEB, venue_names=NAMES)]


async def test_a_deleted_message_is_told_apart_from_a_dead_webhook(client: Discord, discord: DiscordServer) -> None:
    """404 with Discord's code for an unknown message concerns this message only."""
    message_id = await client.post(NOTICE)
    discord.messages[0].deleted = True
    with pytest.raises(MessageGone):
        await client.edit(message_id, NOTICE)


async def test_the_rate_limit_is_waited_out_by_its_headers(discord: DiscordServer, client: Discord) -> None:
    """When no request is left, the client asks to wait until the limit's reset; then all went through without 429."""
    discord.limit, discord._left, discord.per_seconds = 2, 2, 0.2
    for _ in range(6):
        await asyncio.sleep(client.wait_seconds())
        await client.post(NOTICE)
    assert discord.limited == 0
    assert len(discord.messages) == 6


async def test_429_is_not_delivered_and_says_how_long_to_wait(client: Discord, discord: DiscordServer) -> None:
    """retry_after is in seconds, and the client keeps to it."""
    discord.script.append(rate_limited(1.5))
    with pytest.raises(NotDelivered) as raised:
        await client.post(NOTICE)
    assert raised.value.retry_after_seconds == 1.5
    assert 1.0 < client.wait_seconds() <= 1.5
    assert discord.messages == []


async def test_429_without_a_time_leaves_the_waiting_to_the_notifier(client: Discord, discord: DiscordServer) -> None:
    """A proxy in front of Discord names none: the notifier's delays grow, where a fixed time would not."""
    for behaviour in (page_of_a_proxy(429), rate_limited(0.0)):
        discord.script.append(behaviour)
        with pytest.raises(NotDelivered) as raised:
            await client.post(NOTICE)
        assert raised.value.retry_after_seconds == 0
        assert client.wait_seconds() == 0


async def test_a_refused_connection_is_certainly_not_delivered(client: Discord, discord: DiscordServer) -> None:
    """Nothing listens: trying again is safe."""
    await discord.stop()
    with pytest.raises(NotDelivered):
        await client.post(NOTICE)


async def test_an_unknown_host_is_certainly_not_delivered() -> None:
    """A name that does not resolve is an outage."""
    client = Discord(SecretStr(f"https://discord.com/api/webhooks/1/{TOKEN}"), api_base="http://discord.invalid")
    try:
        with pytest.raises(NotDelivered):
            await client.post(NOTICE)
    finally:
        await client.close()


async def test_a_name_server_that_does_not_answer_is_certainly_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request's own time must not run out first, or a message that was never sent is in doubt."""

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", never)
    monkeypatch.setattr("agents.delivery.discord.CONNECT_TIMEOUT_SECONDS", 0.1)
    client = Discord(
        SecretStr(f"https://discord.com/api/webhooks/1/{TOKEN}"),
        api_base="http://discord.invalid",
        request_timeout_seconds=5,
    )
    try:
        with pytest.raises(NotDelivered):
            await client.post(NOTICE)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("behaviour", "kept"),
    [
        (Behaviour(status=500), 0),
        (Behaviour(status=503), 0),
        (accepted_then_dropped(), 1),
    ],
    ids=["500", "503", "accepted then dropped"],
)
async def test_an_answer_that_says_nothing_is_ambiguous(
    client: Discord, discord: DiscordServer, behaviour: Behaviour, kept: int
) -> None:
    """The request was written and no usable answer came: the message may be there or not."""
    discord.script.append(behaviour)
    with pytest.raises(Ambiguous):
        await client.post(NOTICE)
    assert len(discord.messages) == kept


async def test_an_answer_that_does_not_come_in_time_is_ambiguous(discord: DiscordServer) -> None:
    """The request is given up, and Discord may still take the message."""
    discord.script.append(Behaviour(until=asyncio.Event()))
    client = Discord(discord.webhook, api_base=discord.base, request_timeout_seconds=0.5)
    try:
        with pytest.raises(Ambiguous):
            await asyncio.wait_for(client.post(NOTICE), 5)
    finally:
        await client.close()
    assert discord.messages == []


async def test_a_message_without_an_id_is_ambiguous(client: Discord, discord: DiscordServer) -> None:
    """A success that names no message (a proxy's page) cannot be edited later, and may not be Discord's."""
    discord.script.append(Behaviour(status=200))
    with pytest.raises(Ambiguous):
        await client.post(NOTICE)


@pytest.mark.parametrize("status", [401, 404])
async def test_a_webhook_that_is_gone_is_dead(client: Discord, discord: DiscordServer, status: int) -> None:
    """Discord's codes for an unknown webhook and for an invalid token mean that it will never work again."""
    discord.script.append(webhook_gone(status))
    with pytest.raises(ChannelGone):
        await client.post(NOTICE)


@pytest.mark.parametrize(
    "behaviour",
    [
        *(page_of_a_proxy(status) for status in (301, 400, 401, 403, 404, 405, 407, 408, 413)),
        Behaviour(status=401),
        Behaviour(status=404),
        Behaviour(status=404, code=10004),
        Behaviour(status=401, code=10015),
    ],
    ids=lambda behaviour: f"{behaviour.status} {'page' if behaviour.page else behaviour.code}",
)
async def test_what_only_looks_like_an_end_is_an_outage(
    client: Discord, discord: DiscordServer, behaviour: Behaviour
) -> None:
    """A page of a proxy, or a code that is not Discord's for a webhook that is gone: the message waits."""
    discord.script.append(behaviour)
    with pytest.raises(NotDelivered) as raised:
        await client.post(NOTICE)
    assert not isinstance(raised.value, ChannelShut)
    assert str(behaviour.status) in str(raised.value)
    assert await client.post(NOTICE)


@pytest.mark.parametrize(
    ("behaviour", "remedy"),
    [
        (shut(403, 50013), "allow the webhook to post"),
        (shut(400, 220001), "is a forum: add .thread_id="),
        (shut(400, 50083), "the thread 42 that the address in DISCORD_WEBHOOK_URL_2 .* archived or locked"),
        (shut(403, 160005), "archived or locked"),
        (shut(404, 10003), "the thread 42 .* was deleted"),
    ],
)
async def test_a_webhook_that_has_to_be_mended_says_what_to_change(
    discord: DiscordServer, behaviour: Behaviour, remedy: str
) -> None:
    """It exists and takes no message: nothing is given up."""
    discord.script.append(behaviour)
    client = Discord(SecretStr(f"{discord.webhook.get_secret_value()}?thread_id=42"), api_base=discord.base)
    try:
        with pytest.raises(ChannelShut, match=remedy) as raised:
            await client.post(NOTICE)
    finally:
        await client.close()
    assert TOKEN not in str(raised.value)


async def test_a_deleted_channel_is_told_from_a_deleted_thread(client: Discord, discord: DiscordServer) -> None:
    """An address without a thread names none."""
    discord.script.append(shut(404, 10003))
    with pytest.raises(ChannelShut, match="channel was deleted"):
        await client.post(NOTICE)


async def test_an_edit_that_a_proxy_answers_is_repeated(client: Discord, discord: DiscordServer) -> None:
    """200 with a page, such as that of a login, is no word of Discord."""
    message_id = await client.post(NOTICE)
    discord.script.append(page_of_a_proxy(200))
    with pytest.raises(Ambiguous):
        await client.edit(message_id, NOTICE)


async def test_a_message_that_discord_refuses_is_told(client: Discord, discord: DiscordServer) -> None:
    """400: the same bytes will be refused again."""
    discord.script.append(Behaviour(status=400))
    with pytest.raises(MessageRefused, match="Discord answered 400"):
        await client.post(NOTICE)


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(status=500), webhook_gone(), rate_limited(0.0), accepted_then_dropped(), Behaviour(status=400)],
)
async def test_no_failure_shows_the_token(
    client: Discord, discord: DiscordServer, behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither texts, tracebacks, logs nor representations hold the webhook's token."""
    caplog.set_level(logging.DEBUG)
    discord.script.append(behaviour)
    with pytest.raises(Exception, match="Discord") as raised:
        await client.post(NOTICE)
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text + repr(client)
    assert TOKEN not in shown


async def test_a_server_that_speaks_no_http_is_ambiguous() -> None:
    """Garbage instead of an answer, after the request was written."""
    server = await asyncio.start_server(_garbage, "127.0.0.1", 0, family=socket.AF_INET)
    address = server.sockets[0].getsockname()
    client = Discord(
        SecretStr(f"https://discord.com/api/webhooks/1/{TOKEN}"), api_base=f"http://{address[0]}:{address[1]}"
    )
    try:
        with pytest.raises(Ambiguous):
            await client.post(NOTICE)
    finally:
        await client.close()
        server.close()


async def _garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\x01\x02 nonsense\r\n\r\n")
    await writer.drain()
    writer.close()
