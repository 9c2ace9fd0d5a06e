package peers;

/** What every peer is started with: brokers, topic, a directory for its state, the trades to come. */
public record Arguments(String brokers, String topic, String directory, long trades) {
    /** USD in a window that alert, in micro-USD: never reached, as for the program. */
    public static final long THRESHOLD = 1_000_000_000_000_000_000L;

    public static final long WINDOW_SECONDS = 300;

    public static Arguments of(String[] words) {
        return new Arguments(words[0], words[1], words[2], Long.parseLong(words[3]));
    }
}
