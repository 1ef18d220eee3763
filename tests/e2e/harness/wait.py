"""Waiting for a state, never for a time."""

import time

# The sanitizers make everything several times slower; the tests' patience grows with them.
PATIENCE = 15.0


def until(condition, what, timeout=PATIENCE):
    """Calls `condition` until it returns something true, which is returned. A failed assertion or a
    lost connection inside counts as "not yet"."""
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (AssertionError, OSError, LookupError) as why:
            last = why
        if time.monotonic() > end:
            because = f" (last: {last!r})" if last else ""
            raise AssertionError(f"not within {timeout:g} s: {what}{because}")
        time.sleep(0.005)
