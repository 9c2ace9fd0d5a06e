-- Beside workers of 0.1 (commit 1a202df), while a group is upgraded. Decision 0024 tells what they make of alerts.
--
-- They write these tables too. So each new column is nullable or has a default, and no threshold in USD is null, which
-- they could not read. This replaces the trigger of migration 0006.
--
-- A later migration may drop the triggers and the column judged_count in 0.3: then no release works beside 0.1.
-- Where rules are named here, they are the two that 0.1 has. A new rule needs no line.

DROP TRIGGER judgement_of_the_release_before ON liquidation_alerts;
DROP FUNCTION judgement_of_the_release_before();

UPDATE liquidation_alerts SET threshold_usd = 0 WHERE threshold_usd IS NULL;
ALTER TABLE liquidation_alerts
    ALTER COLUMN threshold_usd SET NOT NULL,
    ALTER COLUMN unit DROP NOT NULL;

COMMENT ON COLUMN liquidation_alerts.unit IS
    'of threshold, measured and severity_step: usd, percent or count; null where 0.1 recorded an alert in another unit than usd';
COMMENT ON COLUMN liquidation_alerts.threshold IS 'null where 0.1 recorded the alert and nobody else has';
COMMENT ON COLUMN liquidation_alerts.threshold_usd IS '0 where the unit is not usd';
COMMENT ON COLUMN liquidation_alerts.measured IS 'what the rule compares with its steps, of this window; null if unknown';
COMMENT ON COLUMN liquidation_alerts.revision IS '1 when inserted, one more each time later figures replaced these';

ALTER TABLE alert_outbox ADD COLUMN posted_retracted boolean DEFAULT false;

COMMENT ON COLUMN alert_outbox.retracted IS 'whether the message should say that the alert is retracted';
COMMENT ON COLUMN alert_outbox.posted_retracted IS
    'whether the posted message says so; null: its sender had no words for the rule';

-- Few rows at any time: messages that were sent and should say something else.
CREATE INDEX alert_outbox_untold ON alert_outbox (wanted_at)
    WHERE state = 'sent' AND last_error IS NULL AND posted_retracted IS DISTINCT FROM retracted;

-- 0.1 is known by what it leaves out. It updates a row only for a higher count, so the two counts differ then.
ALTER TABLE liquidation_alerts ADD COLUMN judged_count bigint;
UPDATE liquidation_alerts SET judged_count = count;

COMMENT ON COLUMN liquidation_alerts.judged_count IS
    'count of the window that measured and severity_step speak of; another one than count: 0.1 wrote the row last';

-- An alert in another unit than USD has a threshold of 0 in USD. Which unit it is, 0.1 drops. 0.1 also leaves in a row
-- what was judged of fewer trades. Of its own rules the measured value is a column that it writes. Of others nobody
-- knows it until a later release writes the row again, nor the step of another severity.
CREATE FUNCTION row_of_0_1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.threshold IS NULL AND NEW.threshold_usd = 0 THEN
            NEW.unit := NULL;
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.measured IS NOT NULL THEN
        NEW.measured := CASE NEW.rule
            WHEN 'volume' THEN NEW.total_volume_usd
            WHEN 'liquidation' THEN NEW.liquidation_volume_usd
        END;
    END IF;
    IF NEW.alert_severity <> OLD.alert_severity THEN
        NEW.severity_step := NULL;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER row_of_0_1 BEFORE INSERT OR UPDATE ON liquidation_alerts
    FOR EACH ROW WHEN (NEW.judged_count IS DISTINCT FROM NEW.count)
    EXECUTE FUNCTION row_of_0_1();

-- Whoever claims a message may be of 0.1, which tells no retraction, and describes each rule but its own two as traded
-- volume. So a claim notes what 0.1 would leave on the page. Later releases overwrite that when they have sent it.
CREATE FUNCTION message_of_0_1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.posted_retracted := CASE WHEN NEW.rule IN ('volume', 'liquidation') THEN false END;
    RETURN NEW;
END
$$;

CREATE TRIGGER message_of_0_1 BEFORE UPDATE ON alert_outbox
    FOR EACH ROW WHEN (OLD.state <> 'sending' AND NEW.state = 'sending')
    EXECUTE FUNCTION message_of_0_1();
