"""Durations and sizes as users write them: `10m`, `1h30m`, `1G`."""

import re

from isthmus.values.time import Seconds

_UNIT_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_SIZE = re.compile(r"(\d{1,18})([KMGT]?)", re.ASCII)
_FACTOR = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def duration_from(text: str) -> Seconds | None:
    """Seconds of `10m`, `8h` or `1h30m`; None when the text is no duration."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        return None
    parts = zip(match.groups(), _UNIT_S.values(), strict=True)
    return float(sum(int(count) * unit for count, unit in parts if count is not None))


def duration_text(seconds: Seconds | None) -> str:
    """The shortest spelling of a duration in whole seconds; `never` for None."""
    if seconds is None:
        return "never"
    left = round(seconds)
    words = []
    for unit, size_s in _UNIT_S.items():
        count, left = divmod(left, size_s)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"


def size_from(text: str) -> int | None:
    """Octets of `512M` or `1G` (powers of 1024); None when the text is no size."""
    match = _SIZE.fullmatch(text.strip())
    return None if match is None else int(match[1]) * _FACTOR[match[2]]


def size_text(octets: int | None) -> str:
    """The shortest exact spelling of a size; `never` for None (no limit)."""
    if octets is None:
        return "never"
    for unit in ("T", "G", "M", "K"):
        if octets and octets % _FACTOR[unit] == 0:
            return f"{octets // _FACTOR[unit]}{unit}"
    return str(octets)
