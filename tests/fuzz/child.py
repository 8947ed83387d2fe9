"""The process that fuzzes: one target, batch after batch; tells its parent before and after each.

python -m tests.fuzz.child TARGET SEED SECONDS FIRST_BATCH BLACK_BOX
"""

import faulthandler
import json
import os
import sys
import time
import traceback
from pathlib import Path

import msgspec
import psutil

from tests.fuzz.targets import TARGETS

SETTLE_S = 2.0
TELL_EVERY_S = 0.5


def main(name: str, seed: str, seconds: str, first: str, black_box: str) -> int:
    faulthandler.enable()
    target, process = TARGETS[name], psutil.Process()
    with Path(black_box).open("wb") as box, target.check() as check:
        began, told, inputs, rejected, number, settled = time.monotonic(), 0.0, 0, 0, int(first), 0
        while time.monotonic() < began + float(seconds):
            os.pwrite(box.fileno(), number.to_bytes(8, "little"), 0)
            cases = target.cases(int(seed), number)
            try:
                rejected += check(cases)
            except BaseException as problem:
                _tell(
                    finding=number,
                    why=f"{type(problem).__name__}: {problem}"[:2_000],
                    trace=traceback.format_exc()[-4_000:],
                )
                _keep(Path(f"{black_box}.found"), _smallest(check, cases))
                return 1
            inputs, number, now = inputs + len(cases), number + 1, time.monotonic()
            if not settled and now > began + min(SETTLE_S, float(seconds) / 2):
                settled = process.memory_info().rss
            if now > told + TELL_EVERY_S:
                told = now
                _tell(inputs=inputs, rejected=rejected)
        rss = process.memory_info().rss
        _tell(
            inputs=inputs,
            rejected=rejected,
            batches=number - int(first),
            seconds=time.monotonic() - began,
            rss_start=settled or rss,
            rss_end=rss,
        )
    return 0


def _smallest(check: object, cases: list[object]) -> list[object]:
    """One case that fails alone, else all of them."""
    for case in cases:
        try:
            check([case])  # type: ignore[operator]
        except BaseException:
            return [case]
    return cases


def _keep(file: Path, cases: list[object]) -> None:
    file.write_text(msgspec.msgpack.encode(cases).hex())


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
