"""What the hot path costs, in figures that another machine gives too, beside what it cost when that was stored."""
