package peers;

import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.time.Instant;

/** One trade as Kraken's WebSocket writes it. */
@JsonIgnoreProperties(ignoreUnknown = true)
public class Trade {
    public String symbol;
    public String side;
    public double price;
    public double qty;

    @JsonProperty("trade_id")
    public long id;

    @JsonIgnore public long epochMillis;

    @JsonProperty("timestamp")
    public void setTimestamp(String text) {
        epochMillis = Instant.parse(text).toEpochMilli();
    }

    /** Price times quantity in micro-USD. */
    public long notional() {
        return Math.round(price * qty * 1e6);
    }

    /** The second of its event time, since 1970. */
    public long second() {
        return epochMillis / 1000;
    }
}
