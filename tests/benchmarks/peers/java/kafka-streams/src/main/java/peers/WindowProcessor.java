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
        long notional = window.notional();
        long count = window.trades();
        // The slots that the window leaves behind, a whole ring at most.
        long first = Math.max(window.newest() + 1, second - WINDOW_SECONDS + 1);
        for (long fresh = window.newest() < 0 ? second : first; fresh <= second; fresh++) {
            Pane old = panes.get(slot(trade.symbol, fresh));
            if (old != null && old.second() < fresh) {
                notional -= old.notional();
                count -= old.trades();
                panes.delete(slot(trade.symbol, fresh));
            }
        }
        String slot = slot(trade.symbol, second);
        Pane pane = panes.get(slot);
        long amount = trade.notional();
        panes.put(
                slot,
                pane == null
                        ? new Pane(second, amount, 1)
                        : new Pane(second, pane.notional() + amount, pane.trades() + 1));
        window =
                new Window(
                        trade.id,
                        Math.max(second, window.newest()),
                        notional + amount,
                        count + 1,
                        window.allNotional() + amount,
                        window.allTrades() + 1);
        windows.put(trade.symbol, window);
        if (window.notional() >= THRESHOLD) {
            context.forward(new Record<>(trade.symbol, Long.toString(window.notional()), timestamp));
        }
    }

    private static String slot(String symbol, long second) {
        return symbol + '|' + second % WINDOW_SECONDS;
    }
}
