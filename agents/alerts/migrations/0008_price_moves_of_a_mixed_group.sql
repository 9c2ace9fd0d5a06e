-- During a rolling upgrade the release before meets alerts of price_move: as rows, as messages to send, and on the topic
-- where its recorder takes some of them. Decision 0024 tells what it makes of them.

-- It reads a threshold in USD from each row. Null would stop its notifier with the message in hand, and its web view.
UPDATE liquidation_alerts SET threshold_usd = 0 WHERE threshold_usd IS NULL;
ALTER TABLE liquidation_alerts ALTER COLUMN threshold_usd SET NOT NULL;

COMMENT ON COLUMN liquidation_alerts.threshold_usd IS '0 where the unit is not usd';
COMMENT ON COLUMN liquidation_alerts.threshold IS 'null where the release before recorded the alert and nobody else has';
COMMENT ON COLUMN liquidation_alerts.measured IS 'what the rule compares with its steps, of this window; null if unknown';

COMMENT ON COLUMN liquidation_alerts.revision IS '1 when inserted, one more each time later figures replaced these';

-- It does not know the unit. The rest of what the rule saw stays unknown until this release writes the row.
CREATE FUNCTION unit_of_the_release_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.unit := 'percent';
    RETURN NEW;
END
$$;

CREATE TRIGGER unit_of_the_release_before BEFORE INSERT ON liquidation_alerts
    FOR EACH ROW WHEN (NEW.rule = 'price_move' AND NEW.threshold IS NULL)
    EXECUTE FUNCTION unit_of_the_release_before();

-- As in migration 0006, and for a rule that the release before lacks: it cannot say what fuller figures measure. In a
-- row of this release a change of more than 1e-9 % changes the measured value too.
CREATE OR REPLACE FUNCTION judgement_of_the_release_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.measured = OLD.measured THEN
        IF NEW.rule = 'volume' AND NEW.total_volume_usd <> OLD.total_volume_usd THEN
            NEW.measured := NEW.total_volume_usd;
        ELSIF NEW.rule = 'liquidation' AND NEW.liquidation_volume_usd <> OLD.liquidation_volume_usd THEN
            NEW.measured := NEW.liquidation_volume_usd;
        ELSIF NEW.rule = 'price_move' AND abs(abs(NEW.price_change_pct) - abs(OLD.price_change_pct)) > 1e-9 THEN
            NEW.measured := NULL;
        END IF;
    END IF;
    IF NEW.alert_severity <> OLD.alert_severity AND NEW.severity_step = OLD.severity_step THEN
        NEW.severity_step := NULL;
    END IF;
    RETURN NEW;
END
$$;
