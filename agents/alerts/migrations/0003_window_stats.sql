-- Windows as they were at regular moments, for dashboards. Not a record of every trade: alerts never depend on it.

CREATE TABLE window_stats (
    sampled_at              timestamptz      NOT NULL,
    venue                   text             NOT NULL,
    symbol                  text             NOT NULL,
    window_seconds          integer          NOT NULL,
    window_end              timestamptz      NOT NULL,
    count                   bigint           NOT NULL,
    total_volume_usd        numeric(24, 6)   NOT NULL,
    buy_volume_usd          numeric(24, 6)   NOT NULL,
    sell_volume_usd         numeric(24, 6)   NOT NULL,
    liquidation_volume_usd  numeric(24, 6)   NOT NULL,
    liquidation_long_usd    numeric(24, 6)   NOT NULL,
    liquidation_short_usd   numeric(24, 6)   NOT NULL,
    largest_trade_usd       numeric(24, 6)   NOT NULL,
    vwap                    double precision,
    price_change_pct        double precision,
    realized_volatility     double precision,
    first_price             double precision,
    last_price              double precision,
    high                    double precision,
    low                     double precision,
    PRIMARY KEY (venue, symbol, window_seconds, sampled_at)
);

CREATE INDEX window_stats_sampled_at ON window_stats (sampled_at DESC);

COMMENT ON COLUMN window_stats.sampled_at IS 'the moment of the sample, rounded to the sampling interval';
COMMENT ON COLUMN window_stats.vwap IS 'this and the prices are null for a window without trades';
