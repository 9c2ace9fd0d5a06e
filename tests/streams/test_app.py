"""The application as it is configured: by the program's settings, not by what Faust finds in the environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

SHOW = """
import json
from streams.app import app
names = ("web_host", "web_bind", "web_port", "topic_partitions", "processing_guarantee", "producer_max_request_size")
print(json.dumps({name: str(getattr(app.conf, name)) for name in names}))
"""


def configured(tmp_path: Path, **environment: str) -> dict[str, str]:
    """Return the application's configuration in a process with this environment."""
    shown = subprocess.run(
        [sys.executable, "-c", SHOW],
        env=os.environ | {"DATA_DIR": str(tmp_path), "WEB_TOKEN": "t" * 16} | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    found: dict[str, str] = json.loads(shown.stdout)
    return found


def test_the_address_bound_is_not_the_one_that_peers_use(tmp_path: Path) -> None:
    """Faust reads WEB_HOST too, as the address for its peers: nobody reaches 0.0.0.0."""
    conf = configured(tmp_path, WEB_HOST="0.0.0.0", WEB_PORT="6123", WEB_ADVERTISED_HOST="worker-1")
    assert (conf["web_host"], conf["web_bind"], conf["web_port"]) == ("worker-1", "0.0.0.0", "6123")


def test_port_zero_is_a_free_one(tmp_path: Path) -> None:
    """Faust knows no port 0."""
    assert int(configured(tmp_path, WEB_PORT="0")["web_port"]) > 0


def test_what_exactness_needs_is_not_up_to_the_environment(tmp_path: Path) -> None:
    """Another program's variables change none of it."""
    conf = configured(tmp_path, PROCESSING_GUARANTEE="exactly_once", PRODUCER_MAX_REQUEST_SIZE="1000")
    assert "AT_LEAST_ONCE" in conf["processing_guarantee"].upper()
    assert int(conf["producer_max_request_size"]) > 1_000_000
