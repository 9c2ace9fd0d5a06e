// Finding markets by what people type: parts of names, in any case, with either name of Bitcoin.

const plain = (text) => text.toLowerCase().replaceAll("xbt", "btc");

/** Whether a market has each of these words in its names. The worker's SQL says the same (agents/alerts/history.py). */
export function finds(words, { venue, symbol }, name = "") {
  const text = plain(`${venue} ${symbol} ${symbol.replace(/[/_-]/g, "")} ${name}`);
  return plain(words.trim()).split(/\s+/).every((word) => text.includes(word));
}
