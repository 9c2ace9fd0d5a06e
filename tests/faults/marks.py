"""What the modules of the fault suite have in common."""

import pytest

REAL_KAFKA = pytest.mark.real_kafka


def fault_run(timeout_seconds: int, *more: pytest.MarkDecorator) -> list[pytest.MarkDecorator]:
    """Return the marks of a module whose tests share one stack, in one loop, and take at most so long each."""
    return [
        pytest.mark.faults,
        pytest.mark.asyncio(loop_scope="module"),
        pytest.mark.timeout(timeout_seconds),
        *more,
    ]
