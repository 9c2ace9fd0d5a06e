"""A producer's socket to a venue, as status pages tell of it."""

from typing import Annotated

import msgspec


class Connection(msgspec.Struct, frozen=True):
    """One socket to a venue: whether it is open, since when it is or is not, and what arrives on it."""

    venue: str
    address: Annotated[str, msgspec.Meta(description="where it leads, without credentials")]
    connected: bool
    since: Annotated[float | None, msgspec.Meta(description="opened or lost then, unix seconds; null before the first")]
    last_message: Annotated[float | None, msgspec.Meta(description="unix seconds of the last message, heartbeats too")]
    reconnects: int
    symbols: Annotated[int, msgspec.Meta(description="symbols it is to carry")]
    unsettled: Annotated[int, msgspec.Meta(description="those of them that the venue has not acknowledged")]
    # A producer of the release before does not say them.
    refused: Annotated[list[str], msgspec.Meta(description="symbols that the venue does not have, the first 20")] = []
    missing: Annotated[
        int, msgspec.Meta(description="symbols neither subscribed nor refused for half a minute and longer")
    ] = 0
