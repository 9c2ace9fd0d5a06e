-- Beside workers of 0.1 (commit 1a202df), while a group is upgraded. Decision 0024 tells what they make of alerts.
--
-- A later migration may drop all of this, and the column judged_count, in 0.3: then no release works beside 0.1.
-- Where rules are named here, they are the two that 0.1 has. A new rule needs no line.

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
