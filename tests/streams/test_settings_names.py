"""A misspelt setting is never passed over in silence."""

import os
from pathlib import Path

import pytest

from streams import settings_names
from streams.errors import BadSetting
from streams.settings import Settings, load_settings
from streams.settings_names import check_names, edits, known_names, misspelt

SECRET = "https://discord.com/api/webhooks/1/s3cr3t"

# What shells, desktops, CI services, containers and language tools set.
COMMON = (
    "BASH CI COLORTERM COLUMNS CONDA_PREFIX DBUS_SESSION_BUS_ADDRESS DB_HOST DB_NAME DB_PASSWORD DB_PORT "
    "DB_USER DATABASE_URL DATE DEBUG DESKTOP_SESSION DISPLAY DOCKER_HOST EDITOR EMAIL ENV FILE FLAGS "
    "FORCE_COLOR FPATH GITHUB_ACTIONS GITHUB_TOKEN GPG_TTY HISTFILE HISTSIZE HOME HOST HOSTNAME HOSTTYPE "
    "HTTP_PROXY HTTPS_PROXY KAFKA_HOME KAFKA_HOST KAFKA_OPTS KUBERNETES_SERVICE_HOST LANG LANGUAGE LC_ALL "
    "LC_CTYPE LD_LIBRARY_PATH LESS LINES LOGNAME LS_COLORS MAIL MAKEFLAGS MAKELEVEL MANPATH MINUTES NAME "
    "NODE_ENV NO_COLOR NO_PROXY NUMBER_OF_PROCESSORS OLDPWD OS PAGER PARALLEL PATH PGDATA PGDATABASE PGHOST "
    "PGPASSWORD PGPORT PGUSER PORT POSTGRES_DATA POSTGRES_INITDB_ARGS POSTGRES_PORT_5432_TCP "
    "POSTGRES_SERVICE_HOST PS1 PWD PYTHON PYTHONPATH PYTHONUNBUFFERED REDIS_HOST REDIS_PORT REDIS_SERVICE_HOST "
    "SEED SHELL SHLVL SSH_AUTH_SOCK SSH_CLIENT SSH_TTY SYMBOL SYSTEMROOT TEMP TERM TERM_PROGRAM TMPDIR TZ UID "
    "USER USERNAME VIRTUAL_ENV VISUAL WEB_CONCURRENCY WINDIR WINDOWID WINDOWPATH XAUTHORITY XDG_DATA_DIRS "
    "XDG_RUNTIME_DIR _"
)


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> None:
    """Let no test know what another was told: each line is said once a process."""
    settings_names._warn.cache_clear()
    settings_names._warn_removed.cache_clear()


@pytest.fixture
def dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a ``.env`` that is read."""
    file = tmp_path / ".env"
    monkeypatch.setitem(Settings.model_config, "env_file", file)
    return file


def check() -> Settings:
    """Read and check as each command does at its start."""
    return check_names(load_settings())


def test_a_misspelt_line_stops_the_start_and_names_the_nearest_setting(dotenv: Path) -> None:
    """All of them at once, with their lines."""
    dotenv.write_text("# comment\n\nLIQUIDATION_TRESHOLD_USD=5\nWINDOW_SECONDS=60\nexport web_tokn='x'\nQQQ=1\n")
    with pytest.raises(BadSetting) as refused:
        check()
    assert str(refused.value) == (
        ".env, line 3: LIQUIDATION_TRESHOLD_USD is no setting (is LIQUIDATION_THRESHOLD_USD meant?); "
        ".env, line 5: web_tokn is no setting (is WEB_TOKEN meant?); "
        ".env, line 6: QQQ is no setting. "
        "Correct these lines or delete them; .env.example lists every setting"
    )


def test_settings_in_any_case_pass(dotenv: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As they are read in any case."""
    dotenv.write_text("window_seconds=60\nWeb_Port=1\n")
    assert check().window_seconds == 60
    assert caplog.messages == []


@pytest.mark.parametrize("line", [SECRET, f"DISCORD_WEBHOOK_URL {SECRET}", f"{SECRET}?wait=true", "WEB_TOKEN"])
def test_a_line_that_is_none_stops_the_start_without_showing_it(dotenv: Path, line: str) -> None:
    """It may be a secret, pasted without its name."""
    dotenv.write_text(f"WINDOW_SECONDS=60\n{line}\n")
    with pytest.raises(BadSetting, match=r"\.env, line 2 is no NAME=value") as refused:
        check()
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("name", ["FILE", "SYMBOL"])
def test_what_belongs_to_the_command_is_shown_there(dotenv: Path, name: str) -> None:
    """A recording is named where the run is started."""
    dotenv.write_text(f"{name}=x\n")
    with pytest.raises(BadSetting, match=rf"{name} belongs to the command: make run FEED=recording FILE="):
        check()


@pytest.mark.parametrize("name", ["GRAFANA_PASSWORD", "COMPOSE_PROJECT_NAME", "TZ", "PYTHONPATH", "HTTPS_PROXY"])
def test_what_the_compose_file_and_its_containers_read_is_only_said(
    dotenv: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Compose reads the same file. No value is shown."""
    dotenv.write_text(f"{name}=s3cr3t\n")
    check()
    (message,) = caplog.messages
    assert f"line 1: {name} is no setting of liqmon" in message
    assert "s3cr3t" not in message


@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_removed_setting_is_named_once_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, dotenv: Path, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """A line of an old `.env`, even with a value that was refused once, stops nobody."""
    if where == ".env":
        dotenv.write_text("PANE_MS=500\nWINDOW_SECONDS=60\n")
    else:
        monkeypatch.setenv("PANE_MS", "500")
        monkeypatch.setenv("WINDOW_SECONDS", "60")
    assert check().window_seconds == 60
    assert check().window_seconds == 60
    assert caplog.messages == [
        "the setting PANE_MS was removed and does nothing: panes are one second wide; delete its line"
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("WEB_TOKN", "WEB_TOKEN"),
        ("WEB_TOKNE", "WEB_TOKEN"),
        ("web_tokeen", "WEB_TOKEN"),
        ("LIQUIDATION_TRESHOLD_USD", "LIQUIDATION_THRESHOLD_USD"),
        ("WINDOW_SECOND", "WINDOW_SECONDS"),
        ("WINDOW", "WINDOWS"),
        ("DATADIR", "DATA_DIR"),
        ("FEEDS", "FEED"),
    ],
)
def test_what_looks_misspelt_in_the_environment_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, meant: str
) -> None:
    """It may be another program's, so it stops nobody. Its value is not shown."""
    monkeypatch.setenv(name, "s3cr3t")
    check()
    assert caplog.messages == [f"the environment has {name}, which is no setting and does nothing: is {meant} meant?"]


@pytest.mark.parametrize("name", COMMON.split())
def test_what_others_set_is_none_of_our_business(name: str) -> None:
    """No name that machines have looks like a setting."""
    known = known_names()
    assert name.lower() in known or misspelt(name.lower(), known) is None


def test_nothing_is_said_of_a_usual_environment(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the machine that runs this test has set."""
    check()
    assert caplog.messages == [], sorted(os.environ)


def test_settings_are_not_said_to_be_misspelt(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Though WEB_HOST and WEB_PORT are two letters apart."""
    for name, value in {"WEB_HOST": "127.0.0.1", "WEB_PORT": "1", "WINDOWS": "60", "VENUES": ""}.items():
        monkeypatch.setenv(name, value)
    check()
    assert caplog.messages == []


def test_a_venues_own_settings_are_known(
    monkeypatch: pytest.MonkeyPatch, dotenv: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its module says them; VENUES names it."""
    dotenv.write_text("VENUES=tests.venues.acme.venue\nACME_URL=ws://127.0.0.1:1\n")
    monkeypatch.setenv("ACME_SYMBOLS", "PF_BTC")
    check()
    assert caplog.messages == []
    dotenv.write_text("VENUES=tests.venues.acme.venue\nACME_ULR=ws://127.0.0.1:1\n")
    with pytest.raises(BadSetting, match="is ACME_URL meant"):
        check()


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ("a", "a", 0),
        ("ab", "ba", 1),
        ("abc", "ac", 1),
        ("ac", "abc", 1),
        ("abc", "axc", 1),
        ("abcd", "badc", 2),
        ("", "ab", 2),
    ],
)
def test_edits_are_counted(one: str, other: str, wanted: int) -> None:
    """Two letters swapped are one edit."""
    assert edits(one, other) == wanted
