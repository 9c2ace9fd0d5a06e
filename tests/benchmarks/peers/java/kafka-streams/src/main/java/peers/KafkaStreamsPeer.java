package peers;

import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** Kafka Streams by its Processor API: persistent stores (RocksDB) with caches and changelogs, one thread. */
public final class KafkaStreamsPeer {
    private static final long CACHE_BYTES = 64L * 1024 * 1024;

    private KafkaStreamsPeer() {}

    public static void main(String[] words) throws InterruptedException {
        Arguments arguments = Arguments.of(words);
        run(arguments, topology(arguments), KafkaStreamsPeer::totals);
    }

    /** Runs a topology until all trades are counted, says its totals, and waits to be ended. */
    static void run(Arguments arguments, Topology topology, Consumer<KafkaStreams> totals)
            throws InterruptedException {
        KafkaStreams streams = new KafkaStreams(topology, config(arguments));
        CountDownLatch restored = new CountDownLatch(1);
        streams.setStateListener(
                (now, before) -> {
                    Progress.say("state " + now);
                    if (now == KafkaStreams.State.RUNNING) {
                        restored.countDown();
                    }
                });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
        restored.await();
        Progress.until(arguments.trades());
        totals.accept(streams);
        Progress.say("done");
        // Measured and ended from outside.
        Thread.sleep(Long.MAX_VALUE);
    }

    private static Topology topology(Arguments arguments) {
        Topology topology = new Topology();
        topology.addSource(
                "trades",
                Serdes.String().deserializer(),
                Serdes.ByteArray().deserializer(),
                arguments.topic());
        topology.addProcessor("monitor", WindowProcessor::new, "trades");
        topology.addStateStore(store("windows", Window.serde()), "monitor");
        topology.addStateStore(store("panes", Pane.serde()), "monitor");
        topology.addSink(
                "alerts", "peer-alerts", Serdes.String().serializer(), Serdes.String().serializer(), "monitor");
        return topology;
    }

    private static <V> StoreBuilder<KeyValueStore<String, V>> store(String name, Serde<V> values) {
        return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.String(), values)
                .withCachingEnabled();
    }

    private static Properties config(Arguments arguments) {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, "kafka-streams-peer");
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.brokers());
        config.put(StreamsConfig.STATE_DIR_CONFIG, arguments.directory());
        config.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, CACHE_BYTES);
        return config;
    }

    private static void totals(KafkaStreams streams) {
        var windows =
                streams.store(
                        StoreQueryParameters.fromNameAndType(
                                "windows", QueryableStoreTypes.<String, Window>keyValueStore()));
        try (var all = windows.all()) {
            all.forEachRemaining(
                    entry ->
                            Progress.total(
                                    entry.key, entry.value.allTrades(), entry.value.allNotional()));
        }
    }
}
