"""The page writes amounts by the same rule as messages and terminal."""

from pathlib import Path

from playwright.sync_api import Browser

from tests.money_cases import AMOUNTS, MULTIPLES

FORMAT = Path(__file__).parents[2] / "tables" / "web" / "static" / "format.js"

RUN = """async ([source, amounts, multiples]) => {
  const { shortUsd, multiple } = await import("data:text/javascript;charset=utf-8," + encodeURIComponent(source));
  return [amounts.map((amount) => shortUsd(amount)), multiples.map((pair) => multiple(...pair))];
}"""


def test_the_page_rounds_as_messages_do(browser: Browser) -> None:
    """The same table of cases; the page writes them without spaces and without the currency."""
    page = browser.new_page()
    amounts = [micro_usd / 1e6 for micro_usd, _ in AMOUNTS]
    multiples = [(amount / 1e6, threshold / 1e6) for amount, threshold, _ in MULTIPLES]
    shown, times = page.evaluate(RUN, [FORMAT.read_text(encoding="utf-8"), amounts, multiples])
    page.close()
    assert shown == [text.removesuffix(" USD").replace(" ", "") for _, text in AMOUNTS]
    assert times == [f"{text}\N{MULTIPLICATION SIGN}" for _, _, text in MULTIPLES]
