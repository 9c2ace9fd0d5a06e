"""Peers in Python, each a program: ``python -m tests.benchmarks.peers.python.NAME BROKERS TOPIC DIRECTORY TRADES``.

They import nothing of the program: each runs with the packages of its own requirements alone.
"""
