"""How Python collects garbage in a process that serves."""

import gc

_THRESHOLDS = (20_000, 20, 50)


def settle() -> None:
    """Takes what is loaded now for permanent; call it once a process has started.

    Without it full collections walk all of that, 100 ms each, and small ones come within every batch.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
