"""Axes and numbers as people read them: round ticks, and values with their unit.

A `Scale` maps values to a place along an axis. Ticks stand on 1, 2, 2.5 or 5 times a power of ten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Format = Callable[[float], str]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A linear axis.

    Attributes:
        low, high: values at its ends, `low` < `high`.
        start, stop: places of the ends, in the unit of the drawing.
    """

    low: float
    high: float
    start: float
    stop: float

    def at(self, value: float) -> float:
        """The place of `value`."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def ticks(low: float, high: float, *, count: int = 5) -> tuple[float, ...]:
    """Round values that reach from at or below `low` to at or above `high`, about `count` of them."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))


def tick_texts(values: Sequence[float]) -> tuple[str, ...]:
    """The texts of evenly spaced ticks, all with the decimals that their distance needs and one power of ten."""
    largest = max(abs(value) for value in values)
    power = math.floor(math.log10(largest) + 1e-9) if largest < 1e-3 else 0
    suffix = f"e{power}" if power else ""
    scaled = [float(f"{value / 10.0**power:.12g}") for value in values]
    step = scaled[1] - scaled[0]
    decimals = next((d for d in range(13) if abs(round(step, d) - step) < 1e-6 * step), 13)
    texts = [f"{abs(value):,.{decimals}f}{suffix}" if value else "0" for value in scaled]
    return tuple(signed(text, negative=value < 0) for text, value in zip(texts, scaled, strict=True))


def span(values: Iterable[float]) -> tuple[float, float]:
    """Smallest and largest of `values`."""
    numbers = list(values)
    return min(numbers), max(numbers)


def plain(value: float) -> str:
    """Three significant digits, with a true minus sign: 0.0312, −41.5, 1,240, 2.0e−5."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3:
        mantissa, exponent = f"{size:.1e}".split("e")
        text = f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    elif size >= 1000:
        text = f"{size:,.0f}"
    else:
        text = f"{size:.{max(0, 2 - math.floor(math.log10(size)))}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return signed(text, negative=value < 0)


def large(value: float) -> str:
    """A count or a budget as people say it: 1.2M, 31.9B, 5.76e23; what is below a thousand as `plain` has it."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if size <= value < 1e15:
            return f"{plain(value / size)}{unit}"
    return plain(value) if value < 1e3 else f"{value:.3g}".replace("e+", "e")


def percent(value: float) -> str:
    """A share as whole percent; one decimal below 10%, where a point matters: 0.523 as 52%, 0.034 as 3.4%."""
    share = value * 100
    text = f"{abs(share):.0f}" if abs(share) >= 9.95 or share == 0 else f"{abs(share):.1f}"
    return f"{signed(text, negative=share < 0)}%"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign: +41.9, −2.0, 0.0."""
    text = f"{abs(value) * 100:.1f}"
    return text if text == "0.0" else ("−" if value < 0 else "+") + text


def signed(text: str, *, negative: bool) -> str:
    """`text` with a true minus sign in front if negative."""
    return (f"−{text}" if negative else text).replace("e-", "e−")


def duration(seconds: float) -> str:
    """3.2 s, 48 s, 2 min 5 s, 1 h 12 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def memory(num_bytes: float) -> str:
    """Bytes in units of 10^9: 3.42 GB; below 0.1 GB in units of 10^6."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.0f} MB"


def number_of(count: int, noun: str, plural: str = "") -> str:
    """1 step, 2 steps, 1,240 answers."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
