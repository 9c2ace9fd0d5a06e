"""``make bench``: the program and its peers read the same trades from a real Kafka, and one table compares them."""
