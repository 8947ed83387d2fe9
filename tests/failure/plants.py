"""Faults planted in a worker's own code (`{"plant": NAME, "when": FILE}` among its wounds).

A plant does nothing until the file appears, so that a worker starts in good health.
"""

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

STALL_S = 600.0

Harm = Callable[[Any], Any]
"""Takes what the wounded work returns, gives what its caller gets."""


def _raise(_: Any) -> Any:
    raise RuntimeError("planted")


def _to_nan(outputs: Any) -> Any:
    outputs[-1, 0] = float("nan")
    return outputs


def _stall(result: Any) -> Any:
    time.sleep(STALL_S)
    return result


def _in_readout(harm: Harm, when: Path) -> None:
    from model_store.encoder.readout import Readout

    for name in ("small", "large"):
        setattr(Readout, name, _harmed(getattr(Readout, name), harm, when))


def _in_advance(harm: Harm, when: Path) -> None:
    from stream_app import updater

    updater.advance = _harmed(updater.advance, harm, when)


def _in_loop(harm: Harm, when: Path) -> None:
    """`put` is called in the event loop's thread."""
    from stream_app.updater import Updater

    Updater.put = _harmed(Updater.put, harm, when)


def _harmed(work: Callable[..., Any], harm: Harm, when: Path) -> Callable[..., Any]:
    @functools.wraps(work)
    def harmed(*args: Any, **kwargs: Any) -> Any:
        result = work(*args, **kwargs)
        return harm(result) if when.exists() else result

    return harmed


PLANTS: Mapping[str, tuple[Callable[[Harm, Path], None], Harm]] = {
    "tensorflow-raises": (_in_readout, _raise),
    "tensorflow-gives-nan": (_in_readout, _to_nan),
    "tensorflow-stalls": (_in_readout, _stall),
    "advance-raises": (_in_advance, _raise),
    "loop-hangs": (_in_loop, _stall),
}
"""Name -> where, and what goes wrong there."""


def plant(name: str, when: Path) -> None:
    """Put a fault into this process."""
    where, harm = PLANTS[name]
    where(harm, when)
