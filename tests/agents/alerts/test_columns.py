"""The database has a column for each figure."""

import asyncpg
import pytest

from streams.model.figures import FIGURES

COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) AS kind, attnotnull AND NOT atthasdef AS is_required
FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
"""


@pytest.mark.parametrize("name", ["liquidation_alerts", "window_stats"])
async def test_every_figure_has_its_column(pool: asyncpg.Pool, name: str) -> None:
    """Of its type; null is allowed where workers of an earlier release do not know it."""
    columns = {row["attname"]: row for row in await pool.fetch(COLUMNS, name)}
    missing = [
        f"ALTER TABLE {name} ADD COLUMN {figure.name} {figure.type.sql};"
        for figure in FIGURES
        if figure.name not in columns
    ]
    assert missing == [], "put these statements into a new migration in agents/alerts/migrations"
    for figure in FIGURES:
        assert columns[figure.name]["kind"] == figure.type.sql
        may_be_null = figure.is_later or (name == "window_stats" and figure.type.needs_trades)
        assert columns[figure.name]["is_required"] is not may_be_null
