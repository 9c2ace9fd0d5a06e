"""The markets of all workers: this one's, the others', and copies in Redis."""
