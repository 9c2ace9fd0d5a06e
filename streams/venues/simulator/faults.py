"""What goes wrong on the simulator, for whoever scripts it."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """What goes wrong, changed at any time by whoever holds the server.

    ``refused`` symbols are answered with an error; ``unanswered`` ones are neither acknowledged nor delivered;
    ``muted`` ones are acknowledged and never deliver (a snapshot neither). ``is_silent`` sends nothing at all on
    open sockets; ``refuse_connections`` answers 503. ``ack_delay_seconds`` delays every answer;
    ``fails_whole_request`` makes a futures request with one refused product fail as a whole, unnamed.
    ``duplicates`` sends each trade message twice; ``reorders`` sends the rows of a message backwards.
    """

    refused: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    muted: set[str] = field(default_factory=set)
    is_silent: bool = False
    refuse_connections: bool = False
    ack_delay_seconds: float = 0.0
    fails_whole_request: bool = False
    duplicates: bool = False
    reorders: bool = False
