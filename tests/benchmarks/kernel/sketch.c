/* What a native reader of plain rows might do: Kraken's six fields of one row, into columns. A sketch to measure.

   It takes rows as they usually are, and says -1 of any other. */
#include <stdint.h>
#include <string.h>

static int64_t days(int64_t y, int64_t m, int64_t d) {
    y -= m <= 2;
    int64_t era = y / 400, yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static const char *number(const char *p, int64_t *digits, int64_t *decimals) {
    int64_t value = 0, after = 0, count = 0;
    int dot = 0;
    for (;; p++) {
        if (*p >= '0' && *p <= '9') {
            value = value * 10 + (*p - '0');
            after += dot;
            if (++count > 15) return 0;
        } else if (*p == '.' && !dot) dot = 1;
        else break;
    }
    if (!count || *p == 'e' || *p == 'E') return 0;
    *digits = value;
    *decimals = after;
    return p;
}

static int64_t two(const char *p) { return (p[0] - '0') * 10 + (p[1] - '0'); }

/* Rows are "start" to "start of the next" of text. Returns how many were read before one that is not plain. */
int64_t read_rows(const char *text, const int64_t *starts, int64_t rows, int64_t *symbol_at, int64_t *symbol_length,
                  int64_t *side, int64_t *price, int64_t *price_decimals, int64_t *quantity,
                  int64_t *quantity_decimals, int64_t *id, int64_t *time_us) {
    for (int64_t at = 0; at < rows; at++) {
        const char *p = text + starts[at], *end = text + starts[at + 1];
        int seen = 0;
        if (*p++ != '{') return at;
        while (p < end && *p == '"') {
            const char *name = ++p;
            while (p < end && *p != '"') p++;
            int64_t length = p - name;
            if (p + 2 >= end || p[1] != ':') return at;
            p += 2;
            if (*p == '"') {
                const char *value = ++p;
                while (p < end && *p != '"' && *p != '\\') p++;
                if (p >= end || *p == '\\') return at;
                if (length == 6 && !memcmp(name, "symbol", 6)) {
                    symbol_at[at] = value - text;
                    symbol_length[at] = p - value;
                    seen |= 1;
                } else if (length == 4 && !memcmp(name, "side", 4)) {
                    side[at] = *value == 'b' ? 1 : 2;
                    seen |= 2;
                } else if (length == 9 && !memcmp(name, "timestamp", 9)) {
                    if (p - value != 27) return at;
                    int64_t micro = 0;
                    for (int n = 20; n < 26; n++) micro = micro * 10 + (value[n] - '0');
                    time_us[at] = (((days(two(value) * 100 + two(value + 2), two(value + 5), two(value + 8)) * 24 +
                                     two(value + 11)) * 60 + two(value + 14)) * 60 + two(value + 17)) * 1000000 + micro;
                    seen |= 4;
                }
                p++;
            } else {
                int64_t value, decimals;
                p = number(p, &value, &decimals);
                if (!p) return at;
                if (length == 5 && !memcmp(name, "price", 5)) {
                    price[at] = value;
                    price_decimals[at] = decimals;
                    seen |= 8;
                } else if (length == 3 && !memcmp(name, "qty", 3)) {
                    quantity[at] = value;
                    quantity_decimals[at] = decimals;
                    seen |= 16;
                } else if (length == 8 && !memcmp(name, "trade_id", 8)) {
                    id[at] = value;
                    seen |= 32;
                }
            }
            if (*p == ',') p++;
            else break;
        }
        if (*p != '}' || seen != 63) return at;
    }
    return rows;
}
