package peers;

import static peers.Arguments.THRESHOLD;
import static peers.Arguments.WINDOW_SECONDS;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Counts each trade once into its second's pane and the window that ends with its symbol's newest second. */
public class WindowFunction extends KeyedProcessFunction<String, Trade, String> {
    /** A second's sums, in slot {@code second % 300} of a ring. */
    public static class Pane {
        public long second;
        public long notional;
        public int trades;
    }

    /** A symbol's window: its last trade and newest second, sums of the panes in it, and of all trades ever. */
    public static class Window {
        public long lastId = -1;
        public long newest = -1;
        public long notional;
        public long trades;
        public long allNotional;
        public long allTrades;
    }

    private transient ValueState<Window> windows;
    private transient MapState<Integer, Pane> panes;

    @Override
    public void open(OpenContext context) {
        windows = getRuntimeContext().getState(new ValueStateDescriptor<>("window", Window.class));
        panes = getRuntimeContext().getMapState(new MapStateDescriptor<>("panes", Integer.class, Pane.class));
    }

    @Override
    public void processElement(Trade trade, Context context, Collector<String> alerts) throws Exception {
        Progress.counted(1);
        Window window = windows.value();
        if (window == null) {
            window = new Window();
            // Fires once, when the input has ended.
            context.timerService().registerEventTimeTimer(Long.MAX_VALUE);
        }
        long second = trade.second();
        if (trade.id <= window.lastId || second <= window.newest - WINDOW_SECONDS) {
            return;
        }
        if (window.newest >= 0) {
            // A whole ring at most. Slots that were not used again hold what has left before.
            for (long fresh = Math.max(window.newest + 1, second - WINDOW_SECONDS + 1); fresh <= second; fresh++) {
                Pane old = panes.get(slot(fresh));
                if (old != null
                        && old.second > window.newest - WINDOW_SECONDS
                        && old.second <= second - WINDOW_SECONDS) {
                    window.notional -= old.notional;
                    window.trades -= old.trades;
                }
            }
        }
        Pane pane = panes.get(slot(second));
        if (pane == null || pane.second != second) {
            pane = new Pane();
            pane.second = second;
        }
        long amount = trade.notional();
        pane.notional += amount;
        pane.trades++;
        panes.put(slot(second), pane);
        window.lastId = trade.id;
        window.newest = Math.max(second, window.newest);
        window.notional += amount;
        window.trades++;
        window.allNotional += amount;
        window.allTrades++;
        windows.update(window);
        if (window.notional >= THRESHOLD) {
            alerts.collect(trade.symbol + " " + window.notional);
        }
    }

    @Override
    public void onTimer(long time, OnTimerContext context, Collector<String> alerts) throws Exception {
        Window window = windows.value();
        Progress.total(context.getCurrentKey(), window.allTrades, window.allNotional);
    }

    private static int slot(long second) {
        return (int) (second % WINDOW_SECONDS);
    }
}
