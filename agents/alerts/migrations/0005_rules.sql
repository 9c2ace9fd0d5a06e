-- Any rule, in any unit: what it compared, and what it saw. Workers of the release before still insert: new columns
-- are nullable or have defaults.

ALTER TABLE liquidation_alerts ALTER COLUMN threshold_usd DROP NOT NULL;
ALTER TABLE liquidation_alerts
    ADD COLUMN unit             text    NOT NULL DEFAULT 'usd',
    ADD COLUMN threshold        numeric,
    ADD COLUMN measured         numeric,
    ADD COLUMN severity_step    numeric,
    ADD COLUMN cooldown_seconds integer,
    ADD COLUMN raised_offset    bigint,
    ADD COLUMN retracted        boolean NOT NULL DEFAULT false;

UPDATE liquidation_alerts SET
    threshold = threshold_usd,
    measured = CASE rule WHEN 'liquidation' THEN liquidation_volume_usd ELSE total_volume_usd END;

COMMENT ON COLUMN liquidation_alerts.unit IS 'of threshold, measured and severity_step: usd, percent or count';
COMMENT ON COLUMN liquidation_alerts.threshold_usd IS 'null where the unit is not usd';
COMMENT ON COLUMN liquidation_alerts.measured IS 'what the rule compares with its steps, of this window';
COMMENT ON COLUMN liquidation_alerts.severity_step IS 'what the severity begins with';
COMMENT ON COLUMN liquidation_alerts.cooldown_seconds IS 'cooldown in force';
COMMENT ON COLUMN liquidation_alerts.source_offset IS 'offset in the topic trades that the figures contain';
COMMENT ON COLUMN liquidation_alerts.raised_offset IS 'offset of the message that raised the alert';
COMMENT ON COLUMN liquidation_alerts.retracted IS 'later trades took the measured value below the first step';

ALTER TABLE alert_outbox ADD COLUMN retracted boolean NOT NULL DEFAULT false;
