package peers;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** What a symbol traded in one second; slot {@code second % 300} of a ring holds it. */
public record Pane(long second, long notional, int trades) {
    public static Serde<Pane> serde() {
        return Serdes.serdeFrom(
                (topic, pane) -> pane == null ? null : pane.bytes(),
                (topic, bytes) -> bytes == null ? null : of(ByteBuffer.wrap(bytes)));
    }

    private byte[] bytes() {
        return ByteBuffer.allocate(20).putLong(second).putLong(notional).putInt(trades).array();
    }

    private static Pane of(ByteBuffer from) {
        return new Pane(from.getLong(), from.getLong(), from.getInt());
    }
}
