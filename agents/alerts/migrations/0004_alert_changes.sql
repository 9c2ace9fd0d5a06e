-- The web view asks twice a second, while someone looks, which alerts and deliveries changed in the last seconds.

CREATE INDEX liquidation_alerts_updated_at ON liquidation_alerts (updated_at);
CREATE INDEX alert_outbox_updated_at ON alert_outbox (updated_at);
