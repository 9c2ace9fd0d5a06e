"""What acts: the monitor, the rules, the recorder (Postgres) and the notifier (Discord)."""
