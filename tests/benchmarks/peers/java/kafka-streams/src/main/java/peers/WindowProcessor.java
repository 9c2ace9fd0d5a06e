package peers;

import static peers.Arguments.THRESHOLD;
import static peers.Arguments.WINDOW_SECONDS;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Counts each trade once into its second's pane and the window that ends with its symbol's newest second. */
public class WindowProcessor implements Processor<String, byte[], String, String> {
    private ProcessorContext<String, String> context;
    private KeyValueStore<String, Window> windows;
    private KeyValueStore<String, Pane> panes;

    @Override
    public void init(ProcessorContext<String, String> context) {
        this.context = context;
        windows = context.getStateStore("windows");
        panes = context.getStateStore("panes");
    }

    @Override
    public void process(Record<String, byte[]> record) {
        try {
            Trade[] trades = Trades.read(record.value());
            for (Trade trade : trades) {
                count(trade, record.timestamp());
            }
            Progress.counted(trades.length);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void count(Trade trade, long timestamp) {
        Window window = windows.get(trade.symbol);
        if (window == null) {
            window = Window.EMPTY;
        }
        long second = trade.second();
        if (trade.id <= window.lastId() || second <= window.newest() - WINDOW_SECONDS) {
            return;
        }
        long amount = trade.notional();
        long open = window.open();
        int openTrades = window.openTrades();
        long notional = window.notional() + amount;
        if (second > window.newest()) {
            notional -= closed(trade.symbol, window, second);
            open = 0;
            openTrades = 0;
        }
        if (second >= window.newest()) {
            open += amount;
            openTrades++;
        } else {
            late(trade.symbol, second, amount);
        }
        windows.put(
                trade.symbol,
                new Window(
                        trade.id,
                        Math.max(second, window.newest()),
                        open,
                        openTrades,
                        notional,
                        window.allNotional() + amount,
                        window.allTrades() + 1));
        if (notional >= THRESHOLD) {
            context.forward(new Record<>(trade.symbol, Long.toString(notional), timestamp));
        }
    }

    /** Stores the second that is over, and returns what the window leaves behind. */
    private long closed(String symbol, Window window, long second) {
        if (window.newest() < 0) {
            return 0;
        }
        panes.put(slot(symbol, window.newest()), new Pane(window.newest(), window.open(), window.openTrades()));
        long left = 0;
        // A whole ring at most. Slots that were not used again hold what has left before.
        for (long fresh = Math.max(window.newest() + 1, second - WINDOW_SECONDS + 1); fresh <= second; fresh++) {
            Pane old = panes.get(slot(symbol, fresh));
            if (old != null
                    && old.second() > window.newest() - WINDOW_SECONDS
                    && old.second() <= second - WINDOW_SECONDS) {
                left += old.notional();
            }
        }
        return left;
    }

    private void late(String symbol, long second, long amount) {
        Pane pane = panes.get(slot(symbol, second));
        panes.put(
                slot(symbol, second),
                pane == null || pane.second() != second
                        ? new Pane(second, amount, 1)
                        : new Pane(second, pane.notional() + amount, pane.trades() + 1));
    }

    private static String slot(String symbol, long second) {
        return symbol + '|' + second % WINDOW_SECONDS;
    }
}
