"""What flows: trades, alerts, amounts, frames and dead letters. Pure: no I/O."""
