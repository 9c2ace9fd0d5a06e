"""Addresses as people may see them."""

from urllib.parse import urlsplit


def without_secrets(url: str) -> str:
    """Return where an address leads: without name, password, query and fragment, any of which may be a secret."""
    try:
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        return "an address that cannot be read"


def check_public_url(url: str) -> str:
    """Return the address of the web view as people reach it. Raises :class:`ValueError` where none could work."""
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
        raise ValueError("must be http:// or https:// with a host, such as https://monitor.example.com/liqmon")
    if parts.query or parts.fragment:
        raise ValueError("must end with a path, without ? and #")
    return url
