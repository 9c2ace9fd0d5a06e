"""How trades reach the topic: the producer and its parts."""
