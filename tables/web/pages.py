"""The pages and what they are made of: files of this package, read once, served with their hash as ``ETag``."""

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import hdrs, web

PAGES: Final = {
    "/": "overview.html",
    "/market": "market.html",
    "/alerts": "alerts.html",
    "/workers": "workers.html",
    "/login": "login.html",
}
TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


class _File:
    __slots__ = ("body", "content_type", "etag")

    def __init__(self, name: str, body: bytes) -> None:
        self.body = body
        self.content_type = TYPES[name[name.rindex(".") :]]
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _read(folder: Traversable, prefix: str = "") -> dict[str, _File]:
    found: dict[str, _File] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _read(entry, f"{prefix}{entry.name}/")
        elif entry.name[entry.name.rfind(".") :] in TYPES:
            found[f"{prefix}{entry.name}"] = _File(entry.name, entry.read_bytes())
    return found


class Pages:
    """The handlers of pages and files. Only the files found at start exist: no path leads out of the package."""

    def __init__(self) -> None:
        self._files = _read(resources.files("tables.web").joinpath("static"))

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer a page."""
        return self._answer(request, PAGES[request.path])

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Answer a style sheet, a script or an image."""
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.StreamResponse:
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        # Asked for each time and answered with 304: a page never mixes files of two versions.
        headers = {hdrs.ETAG: file.etag, hdrs.CACHE_CONTROL: "no-cache"}
        if request.headers.get(hdrs.IF_NONE_MATCH) == file.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=headers)
