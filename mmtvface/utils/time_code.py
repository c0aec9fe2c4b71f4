# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Times as people write them."""


def time_code(seconds: float) -> str:
    """Hours, minutes, seconds and milliseconds: 0:01:05.040."""
    total = round(seconds * 1000)
    sign = '-' if total < 0 else ''
    rest, milli = divmod(abs(total), 1000)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return f'{sign}{hour}:{minute:02d}:{second:02d}.{milli:03d}'
