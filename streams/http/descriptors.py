"""How many connections a web server may hold, so that files and other sockets always find a descriptor."""

import contextlib
import resource
from typing import Final

WANTED: Final = 16_384
"""The soft limit that is asked for. Many systems give 1024 and allow a process to take far more."""

MOST_CONNECTIONS: Final = 4096
"""More than the streams of 1000 pages and 1000 workers need, with two connections each."""

# The interpreter, logs, and the clients of Kafka, Postgres, Redis, Discord, venues and other workers hold some 100.
RESERVED: Final = 256


def raised_limit() -> int:
    """Raise the process's soft limit of descriptors as far as it may go and is of use; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems allow less than they say.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return WANTED if soft == resource.RLIM_INFINITY else soft


def most_connections(files: int = 0) -> int:
    """Return how many connections a server may hold in a process that opens so many ``files`` beside it.

    A quarter of the limit is left to the server in any case: nobody could look at the process otherwise.
    """
    limit = raised_limit()
    return max(limit // 4, min(MOST_CONNECTIONS, limit - RESERVED - files))
