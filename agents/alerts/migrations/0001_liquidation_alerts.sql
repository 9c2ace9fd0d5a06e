-- One row an alert. "timestamp" is the start of the crossing pane, never the time of insertion: it is part of the
-- identity, and a unique key on a hypertable must contain the time column.

CREATE FUNCTION severity_rank(severity text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT array_position(ARRAY['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'], severity) $$;

CREATE TABLE liquidation_alerts (
    "timestamp"             timestamptz      NOT NULL,
    total_volume_usd        numeric(24, 6)   NOT NULL,
    vwap                    double precision NOT NULL,
    price_change_pct        double precision NOT NULL,
    alert_severity          text             NOT NULL CHECK (severity_rank(alert_severity) IS NOT NULL),
    largest_trade_usd       numeric(24, 6)   NOT NULL,
    rule                    text             NOT NULL,
    venue                   text             NOT NULL,
    symbol                  text             NOT NULL,
    window_start            timestamptz      NOT NULL,
    window_end              timestamptz      NOT NULL,
    window_seconds          integer          NOT NULL,
    threshold_usd           numeric(24, 6)   NOT NULL,
    episode                 timestamptz      NOT NULL,
    liquidation_volume_usd  numeric(24, 6)   NOT NULL,
    liquidation_long_usd    numeric(24, 6)   NOT NULL,
    liquidation_short_usd   numeric(24, 6)   NOT NULL,
    buy_volume_usd          numeric(24, 6)   NOT NULL,
    sell_volume_usd         numeric(24, 6)   NOT NULL,
    realized_volatility     double precision NOT NULL,
    count                   bigint           NOT NULL,
    first_price             double precision NOT NULL,
    last_price              double precision NOT NULL,
    high                    double precision NOT NULL,
    low                     double precision NOT NULL,
    source_partition        integer          NOT NULL,
    source_offset           bigint           NOT NULL,
    revision                integer          NOT NULL DEFAULT 1,
    recorded_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at              timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (rule, venue, symbol, "timestamp")
);

CREATE INDEX liquidation_alerts_timestamp ON liquidation_alerts ("timestamp" DESC);
CREATE INDEX liquidation_alerts_market ON liquidation_alerts (venue, symbol, "timestamp" DESC);

COMMENT ON COLUMN liquidation_alerts."timestamp" IS 'start of the pane that crossed, event time';
COMMENT ON COLUMN liquidation_alerts.episode IS 'timestamp of the first alert of the episode';
COMMENT ON COLUMN liquidation_alerts.window_end IS 'exclusive';
COMMENT ON COLUMN liquidation_alerts.liquidation_long_usd IS 'longs that were liquidated: the taker sold';
COMMENT ON COLUMN liquidation_alerts.revision IS '1 when inserted, one more each time a fuller window replaced the figures';
COMMENT ON COLUMN liquidation_alerts.recorded_at IS 'wall clock of the first insertion';
