-- A message may carry several alerts. Decision 0036 tells when, and how such a message is edited.
--
-- message_id and digest_id are equal while the alert is told in the digest alone. They differ where a worker of an
-- earlier release told a change by a message of its own: the digest keeps the alert all the same.

ALTER TABLE alert_outbox
    ADD COLUMN digest_id       text,
    ADD COLUMN claimed_attempt integer;

COMMENT ON COLUMN alert_outbox.digest_id IS 'message_id of the digest that has the alert; null: it is in none';
COMMENT ON COLUMN alert_outbox.claimed_attempt IS
    'attempts as of the last claim of a release that knows digests; another number: an earlier release has the claim';

CREATE INDEX alert_outbox_digest ON alert_outbox (digest_id) WHERE digest_id IS NOT NULL;

-- An earlier release would replace a digest by a message about one alert. It is not told the message's id, so it posts
-- one beside it.
CREATE FUNCTION digest_of_a_later_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.message_id := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER digest_of_a_later_release BEFORE UPDATE ON alert_outbox
    FOR EACH ROW WHEN (
        OLD.state <> 'sending' AND NEW.state = 'sending' AND OLD.digest_id = OLD.message_id
        AND NEW.claimed_attempt IS DISTINCT FROM NEW.attempts
    )
    EXECUTE FUNCTION digest_of_a_later_release();
