"""How the benches write figures of several rounds."""
import statistics


def spread(values, digits=2):
    """median (min–max)"""
    if not values:
        return "–"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"
