"""Runs ``liqmon`` with few descriptors: ``python -m tests.streams.http.limited MOST COMMAND...``."""

import resource
import sys

from streams.cli import main

if __name__ == "__main__":
    most = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.exit(main(sys.argv[2:]))
