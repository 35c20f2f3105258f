"""Numbers as they are shown: rounded by one rule in tables, cards, figures and on the page."""

import math
from decimal import ROUND_HALF_UP, Decimal


def round_half_up(value: float, digits: int) -> Decimal:
    """A number of so many decimals; a half goes away from zero, as on paper: 74.25 is 74.3.

    What counts is the number in twelve significant digits: 100 * 0.0645 is 6.45, whatever its last
    bits are.
    """
    exact = Decimal(f"{value:.12g}")
    rounded = exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    return rounded if rounded else abs(rounded)  # no minus before zero


def format_fixed(value: float, digits: int = 1) -> str:
    """A number of so many decimals; what is not finite is named."""
    return f"{round_half_up(value, digits)}" if math.isfinite(value) else str(value)


def format_signed(value: float, digits: int = 1) -> str:
    """A difference, with its sign; zero has a plus."""
    return f"{round_half_up(value, digits):+}" if math.isfinite(value) else str(value)


def format_percent(share: float, digits: int = 1) -> str:
    """A fraction of 1 in percent: ``84.6%``."""
    return f"{format_fixed(100 * share, digits)}%"


def format_p(p: float) -> str:
    """A p-value with what stands before it: ``p = .022``; small ones are ``p < .001``."""
    return "p < .001" if p < 0.001 else f"p = {format_fixed(p, 3).removeprefix('0')}"
