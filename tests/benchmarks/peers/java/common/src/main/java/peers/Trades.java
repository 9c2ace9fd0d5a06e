package peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;

/** Reads a message: one row, or an array of rows. */
public final class Trades {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final ObjectReader ROW = MAPPER.readerFor(Trade.class);
    private static final ObjectReader ROWS = MAPPER.readerFor(Trade[].class);

    private Trades() {}

    public static Trade[] read(byte[] message) throws IOException {
        return message[0] == '[' ? ROWS.readValue(message) : new Trade[] {ROW.readValue(message)};
    }
}
