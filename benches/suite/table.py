"""Medians and Markdown tables."""

import statistics


def median(samples):
    """The median of each figure of several runs, which are dictionaries with the same keys. What a run does not know
    is `None`, and then so is the median."""
    return {key: _median([sample[key] for sample in samples]) for key in samples[0]}


def _median(values):
    if all(isinstance(value, (int, float)) for value in values):
        return statistics.median(values)
    return None if None in values else values[0]


def figure(value):
    """A number with three significant digits at least, as a reader wants it."""
    if value is None:
        return "–"
    if not isinstance(value, (int, float)):
        return str(value)
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def markdown(heads, rows):
    """A table; the first column is text, the others are figures."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(figure(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
