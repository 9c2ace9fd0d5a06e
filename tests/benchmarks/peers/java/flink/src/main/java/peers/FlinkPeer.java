package peers;

import java.io.IOException;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;

/** Flink's DataStream API with a keyed process function: state on the heap, checkpoints on disk, parallelism 1. */
public final class FlinkPeer {
    private static final long CHECKPOINT_MILLIS = 1000;

    private FlinkPeer() {}

    public static void main(String[] words) throws Exception {
        Arguments arguments = Arguments.of(words);
        Configuration configuration = new Configuration();
        configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + arguments.directory());
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment(configuration);
        environment.setParallelism(1);
        environment.enableCheckpointing(CHECKPOINT_MILLIS);
        KafkaSource<byte[]> source =
                KafkaSource.<byte[]>builder()
                        .setBootstrapServers(arguments.brokers())
                        .setTopics(arguments.topic())
                        .setGroupId("flink-peer")
                        .setStartingOffsets(OffsetsInitializer.earliest())
                        .setBounded(OffsetsInitializer.latest())
                        .setValueOnlyDeserializer(new Bytes())
                        .build();
        environment
                .fromSource(source, WatermarkStrategy.noWatermarks(), "trades")
                .flatMap(FlinkPeer::rows)
                .returns(Trade.class)
                .keyBy(trade -> trade.symbol)
                .process(new WindowFunction())
                .sinkTo(new DiscardingSink<>());
        Thread progress = new Thread(() -> report(arguments.trades()));
        progress.setDaemon(true);
        progress.start();
        environment.execute("peer");
        Progress.say("done");
        // Measured and ended from outside.
        Thread.sleep(Long.MAX_VALUE);
    }

    private static void rows(byte[] message, Collector<Trade> trades) throws IOException {
        for (Trade trade : Trades.read(message)) {
            trades.collect(trade);
        }
    }

    private static void report(long trades) {
        try {
            Progress.until(trades);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    /** Messages as they are. */
    private static final class Bytes extends AbstractDeserializationSchema<byte[]> {
        @Override
        public byte[] deserialize(byte[] message) {
            return message;
        }
    }
}
