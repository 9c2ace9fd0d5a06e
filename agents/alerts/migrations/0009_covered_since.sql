-- An alert from a window longer than the data says so in its row and its message too.
--
-- Nullable: a worker of the release before leaves it out of what it inserts, and keeps it in what it updates.

ALTER TABLE liquidation_alerts ADD COLUMN covered_since timestamptz;

COMMENT ON COLUMN liquidation_alerts.covered_since IS
    'the first pane of the market that was counted: a window that begins before it is not whole; null if nobody knows';
