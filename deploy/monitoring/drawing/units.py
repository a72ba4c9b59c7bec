"""Numbers as the dashboard writes them."""

_SHORT = ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"))
_BYTES = ((1 << 40, " TiB"), (1 << 30, " GiB"), (1 << 20, " MiB"), (1 << 10, " KiB"))
_TIMES = ((60.0, " min", 60.0), (1.0, " s", 1.0), (1e-3, " ms", 1e-3), (1e-6, " µs", 1e-6))


def written(value: float, unit: str) -> str:
    """``value`` in one of the units that the panels use; unknown ones as a plain number."""
    if value != value:
        return "no data"
    if unit == "percentunit":
        return f"{_digits(value * 100)} %"
    if unit == "s":
        for least, name, size in _TIMES:
            if abs(value) >= least:
                return _digits(value / size) + name
        return "0 s"
    if unit == "bytes":
        return next(
            (_digits(value / size) + name for size, name in _BYTES if abs(value) >= size),
            f"{_digits(value)} B",
        )
    text = next(
        (_digits(value / size) + name for size, name in _SHORT if abs(value) >= size),
        _digits(value),
    )
    return text + ("/s" if unit == "ops" else "")


def _digits(value: float) -> str:
    """Three digits that say something, and no zeros at the end."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    places = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".")
