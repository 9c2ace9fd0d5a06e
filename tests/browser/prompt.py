"""Whether an alert shows on open pages within a second of its row, by the pages' own frames."""

from playwright.sync_api import Page

from tests.browser.starved import Starved

PROMISED_SECONDS = 1.0
ATTEMPTS = 4

# Looks in each frame, and notes when an element first shows: a test that asks from outside would find it later.
WATCH = """
(selectors) => {
  const known = new WeakSet();
  window.shown = [];
  const look = () => {
    for (const selector of selectors) {
      for (const one of document.querySelectorAll(selector)) {
        if (known.has(one) || !one.checkVisibility()) continue;
        known.add(one);
        window.shown.push([selector, one.textContent, Date.now() / 1000]);
      }
    }
    requestAnimationFrame(look);
  };
  look();
}
"""

SHOWN = """
([selector, words]) =>
  window.shown.find(([where, text]) => where === selector && words.every((word) => text.includes(word)))?.[2]
"""


def watch(page: Page, *selectors: str) -> None:
    """Note from now on when elements show."""
    page.evaluate(WATCH, selectors)


def shown_at(page: Page, selector: str, *words: str) -> float:
    """Wait until an element with these words has shown, and return when it first did, in unix seconds."""
    found: float = page.wait_for_function(SHOWN, arg=[selector, words]).json_value()
    return found


def is_in_time(row_at: float, shown: float, starved: Starved) -> bool:
    """Whether an alert showed within a second of its row; if not, the machine must have been too busy to tell.

    It was where one thread under test waited for a processor for as long as the alert was late. That excuses no
    program: a test measures again, and one alert must be in time.
    """
    late = shown - row_at - PROMISED_SECONDS
    if late > 0:
        waited = starved.seconds(row_at, shown)
        assert late <= waited, f"an alert showed {late:.2f} s late, and the machine had kept it for {waited:.2f} s only"
    return late <= 0
