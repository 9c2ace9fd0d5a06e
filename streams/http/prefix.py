"""The path below which a proxy serves the web view. The proxy may take it off or leave it on: both are answered."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import hdrs, web
from yarl import URL

Factory = Callable[..., web.BaseRequest]
Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def prefix_of(public_url: str) -> str:
    """Return the path of an address without the slash at its end; empty where it has none."""
    return URL(public_url).raw_path.rstrip("/") if public_url else ""


def without_prefix(prefix: str, factory: Factory) -> Factory:
    """Return a factory of requests that leaves the prefix out of their paths. Requests without it stay as they are."""
    if not prefix:
        return factory

    def made(message: Any, *rest: Any) -> web.BaseRequest:  # aiohttp's message, whose type is private
        path = message.url.raw_path
        if path.startswith(f"{prefix}/"):
            url = URL.build(path=path[len(prefix) :], query_string=message.url.raw_query_string, encoded=True)
            message = message._replace(url=url, path=str(url))
        return factory(message, *rest)

    return made


def relative_redirects(prefix: str) -> Signal:
    """Return a signal that makes redirects to a path relative, so that they stay below the prefix.

    A browser resolves them against the address that it asked for, which begins with the prefix only at the proxy.
    """

    async def signal(request: web.Request, response: web.StreamResponse) -> None:
        target = response.headers.get(hdrs.LOCATION, "")
        if prefix and target.startswith("/"):
            response.headers[hdrs.LOCATION] = "../" * (request.path.count("/") - 1) + (target[1:] or "./")

    return signal
