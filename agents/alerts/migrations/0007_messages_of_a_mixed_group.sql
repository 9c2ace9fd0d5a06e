-- What the posted message says of a retraction, to be compared with what it should say.
--
-- The release before cannot say that an alert is retracted, and describes every rule but its own two as traded volume.
-- Whoever claims a message may be of that release. So each claim takes the answer back, and only this release gives it
-- again. Null means that the sender could not say it.

ALTER TABLE alert_outbox ADD COLUMN posted_retracted boolean;

COMMENT ON COLUMN alert_outbox.retracted IS 'whether the message should say that the alert is retracted';
COMMENT ON COLUMN alert_outbox.posted_retracted IS 'whether the posted message says so; null: its sender could not';

CREATE FUNCTION claim_takes_the_answer_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.posted_retracted := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER claim_takes_the_answer_back BEFORE UPDATE ON alert_outbox
    FOR EACH ROW WHEN (OLD.state <> 'sending' AND NEW.state = 'sending')
    EXECUTE FUNCTION claim_takes_the_answer_back();

-- Few rows at any time: what a sender of the release before has left untold.
CREATE INDEX alert_outbox_untold ON alert_outbox (wanted_at)
    WHERE state = 'sent' AND last_error IS NULL AND CASE
        WHEN posted_retracted IS NULL THEN retracted OR rule NOT IN ('volume', 'liquidation')
        ELSE posted_retracted <> retracted END;
