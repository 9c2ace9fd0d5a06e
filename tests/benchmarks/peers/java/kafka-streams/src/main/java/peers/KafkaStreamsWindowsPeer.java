package peers;

import static peers.Arguments.THRESHOLD;
import static peers.Arguments.WINDOW_SECONDS;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Kafka Streams by its DSL: hopping windows that begin each second, so each trade is in 300 of them. It leaves no trade
 * out that it gets twice. The rows of a message have the time of its first.
 */
public final class KafkaStreamsWindowsPeer {
    private static final Duration WINDOW = Duration.ofSeconds(WINDOW_SECONDS);
    private static final Duration GRACE = Duration.ofSeconds(600);
    // At the end all windows of an hour are there, to be summed.
    private static final Duration RETENTION = Duration.ofHours(2);
    private static final long LAST_MILLIS = 1000;

    private KafkaStreamsWindowsPeer() {}

    public static void main(String[] words) throws InterruptedException {
        Arguments arguments = Arguments.of(words);
        KafkaStreamsPeer.run(arguments, topology(arguments), KafkaStreamsWindowsPeer::totals);
    }

    private static Topology topology(Arguments arguments) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(
                        arguments.topic(),
                        Consumed.with(Serdes.String(), trades())
                                .withTimestampExtractor((record, before) -> ((Trade[]) record.value())[0].epochMillis))
                .flatMapValues(
                        trades -> {
                            Progress.counted(trades.length);
                            return List.of(trades);
                        })
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE).advanceBy(Duration.ofSeconds(1)))
                .aggregate(
                        Sums::new,
                        (symbol, trade, sums) -> sums.plus(1, trade.notional()),
                        Materialized.<String, Sums, WindowStore<Bytes, byte[]>>as("windows")
                                .withKeySerde(Serdes.String())
                                .withValueSerde(sums())
                                .withRetention(RETENTION))
                .toStream()
                .filter((window, sums) -> sums.notional >= THRESHOLD)
                .map((window, sums) -> KeyValue.pair(window.key(), Long.toString(sums.notional)))
                .to("peer-alerts", Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    private static Serde<Trade[]> trades() {
        return Serdes.serdeFrom(
                (topic, trades) -> {
                    throw new UnsupportedOperationException("trades are only read");
                },
                (topic, bytes) -> {
                    try {
                        return Trades.read(bytes);
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                });
    }

    private static Serde<Sums> sums() {
        return Serdes.serdeFrom(
                (topic, sums) -> sums == null ? null : sums.bytes(),
                (topic, bytes) -> bytes == null ? null : Sums.of(bytes));
    }

    /** Each trade is in as many windows as a window has seconds. */
    private static void totals(KafkaStreams streams) {
        try {
            // A message is counted before it is in its windows.
            Thread.sleep(LAST_MILLIS);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
        Map<String, Sums> found = new HashMap<>();
        var windows =
                streams.store(
                        StoreQueryParameters.fromNameAndType(
                                "windows", QueryableStoreTypes.<String, Sums>windowStore()));
        try (var all = windows.all()) {
            all.forEachRemaining(
                    window ->
                            found.merge(
                                    window.key.key(),
                                    window.value,
                                    (one, other) -> one.plus(other.trades, other.notional)));
        }
        found.forEach(
                (symbol, sums) ->
                        Progress.total(symbol, sums.trades / WINDOW_SECONDS, sums.notional / WINDOW_SECONDS));
    }
}
