"""What the program is measured against: other stream processors that do the same work, as their documentation would.

Each is started with brokers, topic, a directory and the number of trades. It says on standard output how many trades it
has counted, then its totals. They keep 300 panes of one second and the last id of a symbol, not the ids of all trades.
"""
