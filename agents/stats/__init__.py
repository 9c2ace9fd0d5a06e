"""What the worker samples by the clock."""
