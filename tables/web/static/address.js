// Addresses of the worker's pages and answers. They are relative, so that a proxy may serve them below any path.

/** The address of something that the worker serves, from its root: `api/windows`, `market`. */
export const at = (path) => new URL(`../${path}`, import.meta.url).href;

/** The page itself without what comes before it in the address: `` for the overview, `market`. */
export const here = () => location.href.slice(at("").length).split(/[?#]/)[0];

/** Address of a market's page, at a moment (unix seconds) or live. */
export function marketAddress(venue, symbol, moment) {
  const query = new URLSearchParams({ venue, symbol });
  if (moment) query.set("at", moment);
  return at(`market?${query}`);
}
