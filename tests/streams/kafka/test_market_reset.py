"""``liqmon markets reset``: a record among the market's trades, where every owner finds it."""

import pytest

from streams.errors import Fatal, Outage
from streams.kafka import market_reset
from streams.kafka.market_reset import reset_market
from streams.kafka.partitioning import partition_of
from streams.local.embedded.broker import EmbeddedBroker
from streams.model.frames import decode_frame
from streams.topics import TRADES
from tests.kafka.server import free_ports
from tests.streams.publish.feeds import consume, settings_for


async def test_the_record_is_in_the_markets_partition(fresh_broker: EmbeddedBroker) -> None:
    """Under its symbol, as its trades are."""
    partition = await reset_market(settings_for(fresh_broker.address), "kraken_spot", "ETH/USD")
    (message,) = await consume(fresh_broker.address, TRADES, 1)
    frame = decode_frame(message.value or b"")
    assert (frame.venue, frame.symbol, frame.is_reset) == ("kraken_spot", "ETH/USD", True)
    assert message.partition == partition == partition_of("ETH/USD", 4)
    assert message.key == b"ETH/USD"


@pytest.mark.parametrize("name", ["", "a|b", "x" * 500])
async def test_a_name_that_no_market_has_is_refused(fresh_broker: EmbeddedBroker, name: str) -> None:
    with pytest.raises(Fatal, match="printable characters"):
        await reset_market(settings_for(fresh_broker.address), "kraken_spot", name)


async def test_without_a_broker_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """That names the broker."""
    monkeypatch.setattr(market_reset, "ANSWER_SECONDS", 1)
    (port,) = free_ports(1)
    with pytest.raises(Outage, match=f"Kafka at 127.0.0.1:{port} does not answer.*: start it, or set KAFKA_"):
        await reset_market(settings_for(f"127.0.0.1:{port}"), "kraken_spot", "BTC/USD")
