"""Sessions end: by the clock, by logging out, by another token."""

import pytest

from tables.web import sessions as module
from tables.web.sessions import SESSION_SECONDS, Sessions
from tests.tables.web.test_attempts import Clock

TOKEN = b"correct horse battery"


def test_a_session_ends_by_the_clock() -> None:
    """However long a browser keeps its cookie."""
    clock = Clock()
    sessions = Sessions(TOKEN, clock)
    cookie = sessions.begin()
    clock.now += SESSION_SECONDS - 1
    assert sessions.is_open(cookie)
    clock.now += 1
    assert not sessions.is_open(cookie)


def test_every_replica_with_the_token_knows_it_and_another_token_ends_it() -> None:
    """Workers share nothing but the token; one that is started again knows it too."""
    cookie = Sessions(TOKEN, Clock()).begin()
    assert Sessions(TOKEN, Clock()).is_open(cookie)
    assert not Sessions(b"another token, as long", Clock()).is_open(cookie)


def test_logging_out_ends_one_session() -> None:
    """A copy of its cookie is worth nothing any more; another login stays."""
    sessions = Sessions(TOKEN, Clock())
    ended, other = sessions.begin(), sessions.begin()
    sessions.end(ended)
    assert not sessions.is_open(ended)
    assert sessions.is_open(other)


@pytest.mark.parametrize("change", ["later", "name", "signature", "version", "short", "empty", "text", "long"])
def test_a_changed_cookie_is_none(change: str) -> None:
    """Nobody can make one, or make one last longer, without the token."""
    sessions = Sessions(TOKEN, Clock())
    version, end, name, signature = sessions.begin().split(".")
    changed = {
        "later": f"{version}.{int(end) + 1}.{name}.{signature}",
        "name": f"{version}.{end}.{name}x.{signature}",
        "signature": f"{version}.{end}.{name}.{'0' * 64}",
        "version": f"2.{end}.{name}.{signature}",
        "short": f"{version}.{end}.{name}",
        "empty": "",
        "text": "öffne dich",
        "long": f"{'1' * 5000}.{signature}",
    }[change]
    assert not sessions.is_open(changed)
    sessions.end(changed)
    assert not sessions._revoked


def test_ended_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that would be over are forgotten first, then the oldest."""
    monkeypatch.setattr(module, "MOST_REVOKED", 2)
    clock = Clock()
    sessions = Sessions(TOKEN, clock)
    for _ in range(5):
        sessions.end(sessions.begin())
        clock.now += 10
    assert len(sessions._revoked) == 2
