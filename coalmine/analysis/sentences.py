"""Numbers in plain words."""

from __future__ import annotations

from math import exp, isfinite

from coalmine.analysis.grids import CURVE_RATIOS

_OPEN_LOW, _OPEN_HIGH = float(CURVE_RATIOS[0]) * 1.001, float(CURVE_RATIOS[-1]) * 0.999


def percent(share: float | None) -> str:
    """``0.48 %``."""
    if share is None or not isfinite(share):
        return "unknown"
    value = 100.0 * share
    if value >= 10:
        return f"{value:.1f} %"
    return f"{value:.3g} %" if value >= 0.001 or value == 0 else f"{value:.1g} %"


def times(ratio: float) -> str:
    """``x4.9``."""
    if ratio >= 100:
        return f"x{ratio:.0f}"
    return f"x{ratio:.1f}" if ratio >= 2 else f"x{ratio:.2f}"


def seconds(value: float | None) -> str:
    """``250 ms`` or ``1.5 s``."""
    if value is None:
        return "unknown"
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def amount(value: float, suffix: str = "", *, sign: bool = False) -> str:
    """``2,147,483,648 B`` or, with ``sign``, ``+0.12 cores``; four digits and every thousand."""
    magnitude = abs(value)
    text = f"{magnitude:,.0f}" if 1000 <= magnitude < 1e15 else f"{magnitude:.4g}"
    before = ("-" if value < 0 else "+") if sign else ("-" if value < 0 else "")
    return f"{before}{text}{f' {suffix}' if suffix else ''}"


def number(value: float) -> str:
    """``5,210``."""
    return f"{value:,.0f}"


def evidence(log_e: float) -> str:
    """``1,240 to 1``."""
    if log_e > 16:
        return "over ten million to 1"
    return f"{exp(log_e):,.0f} to 1" if log_e > 1 else f"{exp(log_e):.2g} to 1"


def effect(ratio: float | None, interval: tuple[float, float] | None, margin: float) -> str:
    """``x4.9, at least x3.1; margin x1.1``."""
    if ratio is None or interval is None:
        return f"too few events to compare; margin {times(margin)}"
    low, high = interval
    if low > margin or high >= _OPEN_HIGH:
        bounds = f"at least {times(low)}" if low > _OPEN_LOW else "no bound yet"
    elif low <= _OPEN_LOW:
        bounds = f"at most {times(high)}"
    else:
        bounds = f"between {times(low)} and {times(high)}"
    return f"{times(ratio)}, {bounds}; margin {times(margin)}"


def joined(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
