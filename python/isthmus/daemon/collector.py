"""When Python's garbage collector may run: never while what comes to be is there to stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_rest() -> Iterator[None]:
    """No collection until the context ends. Reading ten thousand tunnels makes millions of values
    that all stay: looking through them again and again took a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def settle() -> None:
    """Keep the collector's pauses short: what stands by now will never be garbage, and looking
    through all the rest at once took tens of milliseconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 100)
