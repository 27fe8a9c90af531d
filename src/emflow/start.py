"""The start of a job, which is imports: what no job of ours uses is not imported, and garbage is seldom looked for."""

import atexit
import gc
import sys

__all__ = ["spare_imports", "with_sklearn"]

SKLEARN = "sklearn"


def spare_imports() -> None:
    """Of a process of our own, before it imports torch and transformers: a fifth of their time is saved.

    transformers imports scikit-learn, and scipy.stats with it, wherever it is installed, for assisted generation alone.
    What the imports leave is half a million objects that stay: by default Python looks through them a thousand times,
    and once more at its end, which takes a second.
    """
    sys.modules.setdefault(SKLEARN, None)  # type: ignore[arg-type] # to the import system: there is none
    gc.set_threshold(5000)
    atexit.register(gc.freeze)


def with_sklearn() -> None:
    """Undo `spare_imports` for who does need scikit-learn."""
    if sys.modules.get(SKLEARN, gc) is None:
        del sys.modules[SKLEARN]
