"""The statements of the outbox: how messages are claimed, and how a claim ends. Each is committed by itself."""

from typing import Final

from agents.alerts.columns import COLUMNS, IDENTITY

# Who gets a second message when the first one's fate is unknown. The others are marked unknown instead.
RESENT_SEVERITIES: Final = ("HIGH", "CRITICAL")
# Bounds the duplicates of one alert: with the delays below, about a quarter of an hour of ambiguous answers.
MAX_AMBIGUOUS: Final = 20
# A service that comes back is noticed within a minute.
MAX_RESEND_DELAY_SECONDS: Final = 60


def _columns(table: str) -> str:
    return ", ".join(f'{table}."{column}"' for column in IDENTITY)


def _same(one: str, other: str) -> str:
    return " AND ".join(f'{one}."{column}" = {other}."{column}"' for column in IDENTITY)


# Workers of 0.1 (commit 1a202df) send messages too while a group is upgraded. They cannot say that an alert is
# retracted, nor describe rules that they lack, and then mark the message as sent. Later releases edit such a message.
# An edit that was refused or given up has an error, and is left alone. May go in 0.3, with migration 0006.
_UNTOLD: Final = "(state = 'sent' AND last_error IS NULL AND posted_retracted IS DISTINCT FROM retracted)"

# The highest severity first: where the service's pace limits, what matters most is not behind what matters least.
_HIGHEST_FIRST: Final = 'severity_rank(severity) DESC, "timestamp"'

_TAKE: Final = """
    SET state = 'sending', owner = $1, claimed_at = clock_timestamp(), attempts = present.attempts + 1,
        claimed_attempt = present.attempts + 1, updated_at = now()"""
_TAKEN: Final = f"""
    RETURNING {_columns("present")}, present.severity, present.message_id, present.possible_duplicate,
        present.escalated_to, present.created_at, present.claimed_at"""
_SHOWN: Final = f"""
SELECT {", ".join(f'alert."{column}"' for column in COLUMNS)}, told.severity, told.message_id, told.possible_duplicate,
    told.escalated_to, told.created_at, told.claimed_at"""
_WITH_ALERT: Final = f"JOIN liquidation_alerts AS alert ON {_same('alert', 'told')}"
_TOLD_IN_ORDER: Final = 'ORDER BY severity_rank(told.severity) DESC, told."timestamp"'

# $2: so many messages may wait and are still posted one by one. $3: how many alerts one message holds.
_POSTABLE: Final = "state = 'pending' AND message_id IS NULL AND not_before <= now()"
CLAIM_POST: Final = f"""
WITH waiting AS (
    SELECT count(*) AS messages FROM alert_outbox WHERE {_POSTABLE}
), next AS (
    SELECT {_columns("alert_outbox")} FROM alert_outbox WHERE {_POSTABLE}
    ORDER BY {_HIGHEST_FIRST}
    LIMIT (SELECT CASE WHEN messages > $2::bigint THEN $3::bigint ELSE 1 END FROM waiting)
    FOR UPDATE SKIP LOCKED
), told AS (
    UPDATE alert_outbox AS present {_TAKE}
    FROM next WHERE {_same("present", "next")} {_TAKEN}
)
{_SHOWN}, waiting.messages - (SELECT count(*) FROM told) AS waiting,
    extract(epoch FROM now() - told.created_at)::double precision AS waited_seconds
FROM told {_WITH_ALERT} CROSS JOIN waiting
{_TOLD_IN_ORDER}
"""  # noqa: S608 - columns are constants, values are parameters

# A digest is claimed with all of its alerts, or not at all: two workers that edited it at once could undo each other.
# Who finds one of its rows locked leaves it for the next turn. What became of those that are told elsewhere is read
# only. They have no claim, and stay in the digest.
CLAIM_EDIT: Final = f"""
WITH first AS (
    SELECT {_columns("wanted")}, wanted.message_id FROM alert_outbox AS wanted
    WHERE (state = 'pending' OR {_UNTOLD}) AND message_id IS NOT NULL AND not_before <= now()
        AND NOT EXISTS (
            SELECT FROM alert_outbox AS other
            WHERE other.digest_id = wanted.message_id AND other.message_id = wanted.message_id
                AND other.state = 'sending'
        )
    ORDER BY {_HIGHEST_FIRST}
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), members AS (
    SELECT {_columns("member")} FROM alert_outbox AS member, first
    WHERE ({_same("member", "first")}
            OR (member.digest_id = first.message_id AND member.message_id = first.message_id))
        AND member.state <> 'sending'
    FOR UPDATE OF member SKIP LOCKED
), told AS (
    UPDATE alert_outbox AS present {_TAKE},
        wanted_at = CASE WHEN present.state = 'pending' OR {_UNTOLD} THEN present.wanted_at ELSE now() END
    FROM members WHERE {_same("present", "members")} AND (SELECT count(*) FROM members) >= (
        SELECT count(*) FROM alert_outbox AS other, first
        WHERE other.digest_id = first.message_id AND other.message_id = first.message_id
    ) {_TAKEN}
)
{_SHOWN} FROM (
    SELECT * FROM told
    UNION ALL
    SELECT {_columns("elsewhere")}, elsewhere.severity, first.message_id, elsewhere.possible_duplicate,
        elsewhere.escalated_to, elsewhere.created_at, NULL
    FROM first JOIN alert_outbox AS elsewhere ON elsewhere.digest_id = first.message_id
    WHERE elsewhere.message_id IS DISTINCT FROM first.message_id AND EXISTS (SELECT FROM told)
) AS told {_WITH_ALERT}
{_TOLD_IN_ORDER}
"""  # noqa: S608 - columns are constants, values are parameters

# Parameters of all that ends claims: the alerts' identities, the owner, when each was claimed; then what was said of
# each, where that matters.
_SAID: Final = ("severity", "escalated_to", "retracted")
_PARTS: Final = """unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $6::timestamptz[])
    AS part (rule, venue, symbol, "timestamp", claimed_at)"""
_SAID_PARTS: Final = f"""unnest(
        $1::text[], $2::text[], $3::text[], $4::timestamptz[], $6::timestamptz[], $7::text[], $8::text[], $9::boolean[])
    AS part (rule, venue, symbol, "timestamp", claimed_at, {", ".join(_SAID)})"""
_IS_MY_CLAIM: Final = "present.state = 'sending' AND present.owner = $5 AND present.claimed_at = part.claimed_at"
_END_CLAIM: Final = "owner = NULL, claimed_at = NULL, updated_at = now()"

# Whether the message should say something else by now than what was said under the claim.
_HAS_CHANGED: Final = "({})".format(" OR ".join(f"present.{one} IS DISTINCT FROM part.{one}" for one in _SAID))

# Another worker may have taken this claim for orphaned meanwhile. The message's id is still kept where nobody has sent
# the message since. $11: whether the message was posted as a digest.
SENT: Final = f"""
UPDATE alert_outbox AS present
SET state = CASE WHEN {_HAS_CHANGED} THEN 'pending' ELSE 'sent' END,
    message_id = $10, digest_id = CASE WHEN $11 THEN $10 ELSE present.digest_id END,
    posted_severity = part.severity, posted_escalation = part.escalated_to, posted_retracted = part.retracted,
    last_error = NULL, {_END_CLAIM}
FROM {_SAID_PARTS}
WHERE {_same("present", "part")}
    AND (({_IS_MY_CLAIM}) OR (present.state IN ('pending', 'unknown') AND present.message_id IS NULL))
RETURNING present.state
"""  # noqa: S608 - constants

RELEASE: Final = f"""
UPDATE alert_outbox AS present SET state = 'pending', last_error = $7, {_END_CLAIM}
FROM {_PARTS} WHERE {_same("present", "part")} AND {_IS_MY_CLAIM}
RETURNING present.state
"""  # noqa: S608 - constants

# What was posted before stays posted, whatever becomes of its edit. An edit that says something else may be taken.
GIVE_UP: Final = f"""
UPDATE alert_outbox AS present
SET state = CASE WHEN message_id IS NULL THEN 'dead' WHEN {_HAS_CHANGED} THEN 'pending' ELSE 'sent' END,
    last_error = $10, {_END_CLAIM}
FROM {_SAID_PARTS} WHERE {_same("present", "part")} AND {_IS_MY_CLAIM}
RETURNING present.state
"""  # noqa: S608 - constants

GIVE_UP_WAITING: Final = """
UPDATE alert_outbox
SET state = CASE WHEN message_id IS NULL THEN 'dead' ELSE 'sent' END, last_error = $1, updated_at = now()
WHERE state = 'pending'
RETURNING state
"""

# An edit is simply tried again: editing twice does no harm. A post may be there already.
_AMBIGUOUS: Final = f"""
SET ambiguous = present.ambiguous + 1,
    state = CASE
        WHEN present.ambiguous + 1 >= {MAX_AMBIGUOUS}
            THEN CASE WHEN present.message_id IS NULL THEN 'unknown' ELSE 'sent' END
        WHEN present.message_id IS NOT NULL OR present.severity IN {RESENT_SEVERITIES} THEN 'pending'
        ELSE 'unknown'
    END,
    possible_duplicate = present.possible_duplicate OR present.message_id IS NULL,
    not_before = now() + least({MAX_RESEND_DELAY_SECONDS}, power(2, present.ambiguous)) * interval '1 second',
    {_END_CLAIM}
"""

UNCONFIRMED: Final = f"""
UPDATE alert_outbox AS present {_AMBIGUOUS}, last_error = $7
FROM {_PARTS} WHERE {_same("present", "part")} AND {_IS_MY_CLAIM}
RETURNING present.state
"""

ORPHANS: Final = f"""
UPDATE alert_outbox AS present {_AMBIGUOUS}, last_error = 'the worker that was sending it went away'
WHERE state = 'sending' AND claimed_at < now() - make_interval(secs => $1)
RETURNING state
"""

AGE: Final = f"""
SELECT coalesce(extract(epoch FROM now() - min(wanted_at)), 0)::double precision
FROM alert_outbox WHERE state IN ('pending', 'sending') OR {_UNTOLD}
"""  # noqa: S608 - constants
