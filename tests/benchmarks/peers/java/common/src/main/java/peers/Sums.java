package peers;

import java.nio.ByteBuffer;

/** What a window holds: trades and their notional in micro-USD. */
public class Sums {
    public long trades;
    public long notional;

    public Sums() {}

    public Sums(long trades, long notional) {
        this.trades = trades;
        this.notional = notional;
    }

    public Sums plus(long moreTrades, long moreNotional) {
        return new Sums(trades + moreTrades, notional + moreNotional);
    }

    public byte[] bytes() {
        return ByteBuffer.allocate(16).putLong(trades).putLong(notional).array();
    }

    public static Sums of(byte[] bytes) {
        ByteBuffer from = ByteBuffer.wrap(bytes);
        return new Sums(from.getLong(), from.getLong());
    }
}
