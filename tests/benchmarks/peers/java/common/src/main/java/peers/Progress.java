package peers;

import java.util.concurrent.atomic.AtomicLong;

/** Says on standard output how many trades were counted, for whoever measures. */
public final class Progress {
    private static final int LOOK_MILLIS = 20;
    private static final AtomicLong COUNTED = new AtomicLong();

    private Progress() {}

    /** One thread counts. */
    public static void counted(long trades) {
        COUNTED.setOpaque(COUNTED.getPlain() + trades);
    }

    /** Reports until so many trades were counted. */
    public static void until(long trades) throws InterruptedException {
        long said = 0;
        while (said < trades) {
            long now = COUNTED.getOpaque();
            if (now != said) {
                say("counted " + now);
            }
            said = now;
            Thread.sleep(LOOK_MILLIS);
        }
    }

    public static void total(String symbol, long trades, long notional) {
        say("total " + symbol + " " + trades + " " + notional);
    }

    public static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
