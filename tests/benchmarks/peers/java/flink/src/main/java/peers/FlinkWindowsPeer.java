package peers;

import static peers.Arguments.THRESHOLD;
import static peers.Arguments.WINDOW_SECONDS;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/**
 * Flink with sliding windows that begin each second, so each trade is in 300 of them. It leaves no trade out that it gets
 * twice.
 */
public final class FlinkWindowsPeer {
    private static final Duration DISORDER = Duration.ofSeconds(10);
    private static final Map<String, Sums> FOUND = new HashMap<>();

    private FlinkWindowsPeer() {}

    public static void main(String[] words) throws Exception {
        Arguments arguments = Arguments.of(words);
        StreamExecutionEnvironment environment = FlinkPeer.environment(arguments);
        WatermarkStrategy<Trade> times =
                WatermarkStrategy.<Trade>forBoundedOutOfOrderness(DISORDER)
                        .withTimestampAssigner((trade, before) -> trade.epochMillis);
        FlinkPeer.trades(environment, arguments, times)
                .keyBy(trade -> trade.symbol)
                .window(SlidingEventTimeWindows.of(Duration.ofSeconds(WINDOW_SECONDS), Duration.ofSeconds(1)))
                .aggregate(new Summed(), new Alerts())
                .sinkTo(new DiscardingSink<>());
        FlinkPeer.run(environment, arguments, FlinkWindowsPeer::totals);
    }

    /** Each trade is in as many windows as a window has seconds. */
    private static void totals() {
        FOUND.forEach(
                (symbol, sums) ->
                        Progress.total(symbol, sums.trades / WINDOW_SECONDS, sums.notional / WINDOW_SECONDS));
    }

    /** Sums the trades of a window. */
    private static final class Summed implements AggregateFunction<Trade, Sums, Sums> {
        private long added;

        @Override
        public Sums createAccumulator() {
            return new Sums();
        }

        @Override
        public Sums add(Trade trade, Sums sums) {
            if (++added % WINDOW_SECONDS == 0) {
                Progress.counted(1);
            }
            return sums.plus(1, trade.notional());
        }

        @Override
        public Sums getResult(Sums sums) {
            return sums;
        }

        @Override
        public Sums merge(Sums one, Sums other) {
            return one.plus(other.trades, other.notional);
        }
    }

    /** Says which windows are beyond the threshold, and keeps the totals of all. */
    private static final class Alerts extends ProcessWindowFunction<Sums, String, String, TimeWindow> {
        @Override
        public void process(String symbol, Context context, Iterable<Sums> results, Collector<String> alerts) {
            for (Sums sums : results) {
                FOUND.merge(symbol, sums, (one, other) -> one.plus(other.trades, other.notional));
                if (sums.notional >= THRESHOLD) {
                    alerts.collect(symbol + " " + sums.notional);
                }
            }
        }
    }
}
