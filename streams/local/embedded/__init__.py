"""The servers that ``liqmon run`` and the tests start by themselves: broker, Redis and Postgres, all from wheels.

They need no Docker, no root and no system package. Each is a child process on a free loopback port. It ends with its
parent, also when the parent is killed.
"""
