-- Any rule, in any unit: what it compared, what it saw, and whether that still stands.
--
-- Workers of 0.1 (commit 1a202df) write these tables too while a group is upgraded. So each new column is nullable or
-- has a default.

ALTER TABLE liquidation_alerts
    ADD COLUMN unit             text    DEFAULT 'usd',
    ADD COLUMN threshold        numeric,
    ADD COLUMN measured         numeric,
    ADD COLUMN severity_step    numeric,
    ADD COLUMN cooldown_seconds integer,
    ADD COLUMN raised_offset    bigint,
    ADD COLUMN retracted        boolean NOT NULL DEFAULT false;

-- Both rules of 0.1 were in USD.
UPDATE liquidation_alerts SET
    threshold = threshold_usd,
    measured = CASE rule WHEN 'liquidation' THEN liquidation_volume_usd ELSE total_volume_usd END;

COMMENT ON COLUMN liquidation_alerts.unit IS
    'of threshold, measured and severity_step: usd, percent or count; null where 0.1 recorded an alert in another unit than usd';
COMMENT ON COLUMN liquidation_alerts.threshold IS 'null where 0.1 recorded the alert and nobody else has';
COMMENT ON COLUMN liquidation_alerts.threshold_usd IS '0 where the unit is not usd';
COMMENT ON COLUMN liquidation_alerts.measured IS 'what the rule compares with its steps, of this window; null if unknown';
COMMENT ON COLUMN liquidation_alerts.severity_step IS 'what the severity begins with';
COMMENT ON COLUMN liquidation_alerts.cooldown_seconds IS 'cooldown in force';
COMMENT ON COLUMN liquidation_alerts.source_offset IS 'offset in the topic trades that the figures contain';
COMMENT ON COLUMN liquidation_alerts.raised_offset IS 'offset of the message that raised the alert';
COMMENT ON COLUMN liquidation_alerts.retracted IS 'later trades took the measured value below the first step';
COMMENT ON COLUMN liquidation_alerts.revision IS '1 when inserted, one more each time later figures replaced these';

ALTER TABLE alert_outbox
    ADD COLUMN retracted        boolean NOT NULL DEFAULT false,
    ADD COLUMN posted_retracted boolean DEFAULT false;

COMMENT ON COLUMN alert_outbox.retracted IS 'whether the message should say that the alert is retracted';
COMMENT ON COLUMN alert_outbox.posted_retracted IS
    'whether the posted message says so; null: its sender had no words for the rule';

-- Few rows at any time: messages that were sent and should say something else.
CREATE INDEX alert_outbox_untold ON alert_outbox (wanted_at)
    WHERE state = 'sent' AND last_error IS NULL AND posted_retracted IS DISTINCT FROM retracted;
