-- During a rolling upgrade the release before brings rows up to date that this one has written. It does not know what
-- such a row says of the judgement, and would leave there what was true of fewer trades. Of its two rules the measured
-- value is a column that it writes. The step of another severity is unknown until this release writes the row again.

CREATE FUNCTION judgement_of_the_release_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.measured = OLD.measured THEN
        IF NEW.rule = 'volume' AND NEW.total_volume_usd <> OLD.total_volume_usd THEN
            NEW.measured := NEW.total_volume_usd;
        ELSIF NEW.rule = 'liquidation' AND NEW.liquidation_volume_usd <> OLD.liquidation_volume_usd THEN
            NEW.measured := NEW.liquidation_volume_usd;
        END IF;
    END IF;
    IF NEW.alert_severity <> OLD.alert_severity AND NEW.severity_step = OLD.severity_step THEN
        NEW.severity_step := NULL;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER judgement_of_the_release_before BEFORE UPDATE ON liquidation_alerts
    FOR EACH ROW EXECUTE FUNCTION judgement_of_the_release_before();
