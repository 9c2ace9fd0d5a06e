"""The servers that ``liqmon run`` and the tests start by themselves: broker, Redis and Postgres, all from wheels.

No Docker, no root and no system package: each is a child process on a free loopback port that ends with its parent,
also when the parent is killed.
"""

from streams.embedded.broker import EmbeddedBroker
from streams.embedded.postgres import EmbeddedPostgres
from streams.embedded.process import Child, lock_directory
from streams.embedded.valkey import EmbeddedRedis

__all__ = ["Child", "EmbeddedBroker", "EmbeddedPostgres", "EmbeddedRedis", "lock_directory"]
