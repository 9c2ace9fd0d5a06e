"""Count messages as the version on PYTHONPATH does, and tell what it stores. A program of its own.

Standard input is a JSON object: ``messages`` (partition, offset and value of each) and ``items`` (partition, key and
value of each). The items are the table's to begin with, which it reads and writes again. Standard output has
``program``, where it was found, and the ``items`` after all messages. Keys and values are in base64.
"""

import asyncio
import json
import sys
from base64 import b64decode, b64encode
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Flushes between which some messages share a chunk, and some do not.
MESSAGES_A_FLUSH = 25
# Later than every trade: none is from the future.
MESSAGE_SECONDS = 4_000_000_000.0


async def main() -> None:
    """Do it."""
    program = import_module("streams.app")
    # Its name is about to change.
    message_type = getattr(program, "SourceMessage", None) or program.Message
    work = json.load(sys.stdin)
    items: dict[tuple[int, bytes], bytes] = {}

    class Folding(program.MonitorApp):  # type: ignore[name-defined, misc]
        """The application without a broker: each message is where it belongs, and the changelog is ``items``."""

        partition = 0

        def home(self, _: str) -> int:
            return self.partition

        async def _send(self, record: Any) -> Any:
            if record.topic == self.panes.changelog_topic_name:
                items[record.partition, record.key] = record.value
            sent = asyncio.get_running_loop().create_future()
            sent.set_result(SimpleNamespace(partition=record.partition or 0, offset=0))
            return sent

    app = Folding(import_module("streams.settings").load_settings())
    # By its own files: this directory may be on the path too, behind it.
    has_market = (Path(program.__file__ or "").parents[1] / "tables" / "market").is_dir()
    values = import_module("tables.market.chunks" if has_market else "tables.chunks")
    for partition, key, value in [(one[0], b64decode(one[1]), b64decode(one[2])) for one in work["items"]]:
        read = values.decode_head if key.endswith(b"|head") else values.decode_chunk
        items[partition, key] = values.encode(read(key, value))
        await app.panes.data.save(partition, {key: items[partition, key]})
    for number, (partition, offset, value) in enumerate(work["messages"], 1):
        app.partition = partition
        await app.market_monitor.handle(message_type(b64decode(value), partition, offset, MESSAGE_SECONDS))
        if number % MESSAGES_A_FLUSH == 0:
            await app.keeper.flush()
    await app.keeper.flush()
    found = [
        [partition, b64encode(key).decode(), b64encode(value).decode()] for (partition, key), value in items.items()
    ]
    json.dump({"program": program.__file__, "items": found}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
