package peers;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/**
 * A symbol's window: its last trade, its newest second and what was traded in it so far, the notional of the window, and
 * sums of all trades ever.
 */
public record Window(
        long lastId, long newest, long open, int openTrades, long notional, long allNotional, long allTrades) {
    public static final Window EMPTY = new Window(-1, -1, 0, 0, 0, 0, 0);

    public static Serde<Window> serde() {
        return Serdes.serdeFrom(
                (topic, window) -> window == null ? null : window.bytes(),
                (topic, bytes) -> bytes == null ? null : of(ByteBuffer.wrap(bytes)));
    }

    private byte[] bytes() {
        return ByteBuffer.allocate(52)
                .putLong(lastId)
                .putLong(newest)
                .putLong(open)
                .putInt(openTrades)
                .putLong(notional)
                .putLong(allNotional)
                .putLong(allTrades)
                .array();
    }

    private static Window of(ByteBuffer from) {
        return new Window(
                from.getLong(),
                from.getLong(),
                from.getLong(),
                from.getInt(),
                from.getLong(),
                from.getLong(),
                from.getLong());
    }
}
