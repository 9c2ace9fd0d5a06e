"""Addresses as people may see them."""

from urllib.parse import urlsplit


def without_secrets(url: str) -> str:
    """Return where an address leads: without name, password, query and fragment, any of which may be a secret."""
    try:
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        return "an address that cannot be read"
