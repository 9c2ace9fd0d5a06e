package peers;

import java.io.IOException;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;

/** Flink's DataStream API with a keyed process function: state on the heap, checkpoints on disk, parallelism 1. */
public final class FlinkPeer {
    private static final long CHECKPOINT_MILLIS = 1000;

    private FlinkPeer() {}

    public static void main(String[] words) throws Exception {
        Arguments arguments = Arguments.of(words);
        StreamExecutionEnvironment environment = environment(arguments);
        trades(environment, arguments, WatermarkStrategy.noWatermarks())
                .keyBy(trade -> trade.symbol)
                .process(new WindowFunction())
                .sinkTo(new DiscardingSink<>());
        run(environment, arguments, () -> {});
    }

    static StreamExecutionEnvironment environment(Arguments arguments) {
        Configuration configuration = new Configuration();
        configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + arguments.directory());
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment(configuration);
        environment.setParallelism(1);
        environment.enableCheckpointing(CHECKPOINT_MILLIS);
        return environment;
    }

    static DataStream<Trade> trades(
            StreamExecutionEnvironment environment, Arguments arguments, WatermarkStrategy<Trade> times) {
        KafkaSource<Trade> source =
                KafkaSource.<Trade>builder()
                        .setBootstrapServers(arguments.brokers())
                        .setTopics(arguments.topic())
                        .setGroupId("flink-peer")
                        .setStartingOffsets(OffsetsInitializer.earliest())
                        .setBounded(OffsetsInitializer.latest())
                        .setValueOnlyDeserializer(new Rows())
                        .build();
        return environment.fromSource(source, times, "trades");
    }

    /** Runs a job until its input ends, while it says how many trades were counted, and waits to be ended. */
    static void run(StreamExecutionEnvironment environment, Arguments arguments, Runnable totals) throws Exception {
        Thread progress = new Thread(() -> report(arguments.trades()));
        progress.setDaemon(true);
        progress.start();
        environment.execute("peer");
        totals.run();
        Progress.say("done");
        Thread.sleep(Long.MAX_VALUE);
    }

    private static void report(long trades) {
        try {
            Progress.until(trades);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    /** The rows of a message. */
    private static final class Rows extends AbstractDeserializationSchema<Trade> {
        @Override
        public Trade deserialize(byte[] message) {
            throw new UnsupportedOperationException("a message may have many rows");
        }

        @Override
        public void deserialize(byte[] message, Collector<Trade> trades) throws IOException {
            for (Trade trade : Trades.read(message)) {
                trades.collect(trade);
            }
        }
    }
}
