-- One row an alert: what Discord has been told and what it is still to be told.
--
--   pending   to be posted; with a message_id: the posted message is to be edited
--   sending   a worker (owner) has committed that it is about to speak to Discord
--   sent      Discord has the message as it should be
--   unknown   nobody knows whether Discord has the message, and it is not worth a duplicate
--   dead      never to be delivered: the webhook is gone, or Discord refuses the message
--   disabled  no webhook was configured when the alert was recorded

CREATE TABLE alert_outbox (
    rule                text        NOT NULL,
    venue               text        NOT NULL,
    symbol              text        NOT NULL,
    "timestamp"         timestamptz NOT NULL,
    episode             timestamptz NOT NULL,
    state               text        NOT NULL
        CHECK (state IN ('pending', 'sending', 'sent', 'unknown', 'dead', 'disabled')),
    severity            text        NOT NULL CHECK (severity_rank(severity) IS NOT NULL),
    escalated_to        text        CHECK (escalated_to IS NULL OR severity_rank(escalated_to) IS NOT NULL),
    posted_severity     text,
    posted_escalation   text,
    message_id          text,
    possible_duplicate  boolean     NOT NULL DEFAULT false,
    attempts            integer     NOT NULL DEFAULT 0,
    ambiguous           integer     NOT NULL DEFAULT 0,
    owner               text,
    claimed_at          timestamptz,
    not_before          timestamptz NOT NULL DEFAULT '-infinity',
    last_error          text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    wanted_at           timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (rule, venue, symbol, "timestamp"),
    CHECK ((state = 'sending') = (owner IS NOT NULL AND claimed_at IS NOT NULL))
);

CREATE INDEX alert_outbox_open ON alert_outbox (wanted_at) WHERE state IN ('pending', 'sending');
CREATE INDEX alert_outbox_episode ON alert_outbox (venue, symbol, rule, episode);

COMMENT ON COLUMN alert_outbox.severity IS 'severity the message should show; an edit is wanted while posted_severity differs';
COMMENT ON COLUMN alert_outbox.escalated_to IS 'highest severity a later alert of the episode reached';
COMMENT ON COLUMN alert_outbox.ambiguous IS 'how often a request ended without saying whether the message was kept';
COMMENT ON COLUMN alert_outbox.wanted_at IS 'since when the present message is wanted';
