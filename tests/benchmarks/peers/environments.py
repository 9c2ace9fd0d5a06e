"""Environments of peers in Python, each with its own packages, made once in a cache outside the repository."""

import hashlib
import shutil
import subprocess
import sys
from functools import cache

from tests.benchmarks.peers.build import PeersUnavailable
from tests.kafka.jars import cache_directory

INSTALL_SECONDS = 600


@cache
def python(requirements: tuple[str, ...]) -> str:
    """Return the interpreter of an environment with these packages. Raises :class:`PeersUnavailable`."""
    digest = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:8]
    made = cache_directory().parent / f"peer-{digest}"
    interpreter = made / "bin" / "python"
    # Written last: whoever was interrupted begins anew.
    whole = made / "whole"
    if whole.exists():
        return str(interpreter)
    shutil.rmtree(made, ignore_errors=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    for command in ([sys.executable, "-m", "venv", str(made)], [str(interpreter), *install, *requirements]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeersUnavailable(f"{', '.join(requirements)} could not be installed: {error}") from None
        if done.returncode:
            reason = done.stderr.strip().splitlines() or ["no reason given"]
            raise PeersUnavailable(f"{', '.join(requirements)} could not be installed: {reason[-1]}")
    whole.touch()
    return str(interpreter)
