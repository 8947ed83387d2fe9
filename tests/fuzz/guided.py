"""Fuzzing that is guided by coverage: atheris changes the bytes behind the dice, and keeps what reaches new code.

python -m tests.fuzz.guided TARGET SEED SECONDS FOLDER

Only Python's bytecode is watched. What is compiled (msgspec, pydantic's core, numba's kernels) gives no guidance, and
kernels must not be instrumented: numba compiles their bytecode. So this is for the readers that are written in Python;
the others are fuzzed as blindly as by `tests.fuzz`, only slower.
"""

import sys
from pathlib import Path
from random import Random

import atheris
import msgspec

ROOT = Path(__file__).parents[2]
OURS, THEIRS = ("stream_app", "model_store"), ("email", "http", "tomllib", "wsgiref")


def with_kernels() -> list[str]:
    """Names of our modules that numba compiles."""
    files = [file for package in OURS for file in (ROOT / package).rglob("*.py") if "@kernel" in file.read_text()]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]


with atheris.instrument_imports(include=[*OURS, *THEIRS], exclude=with_kernels()):
    from tests.fuzz.target import Cases, Target
    from tests.fuzz.targets import TARGETS

_FLAGS = ("-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1", "-max_len=4096", "-len_control=0")
_SEEDS = 200
_SEED_BYTES = 400


class Tape(Random):
    """Dice that read bytes, and fall on 0 when there are none left."""

    def __init__(self, tape: bytes) -> None:
        super().__init__(0)
        self._tape, self._at = tape, 0

    def random(self) -> float:
        return self.getrandbits(16) / 2**16

    def getrandbits(self, bits: int) -> int:
        start, self._at = self._at, self._at + -(-bits // 8)
        return int.from_bytes(self._tape[start : self._at], "little") & ((1 << bits) - 1)


def main(name: str, seed: str, seconds: str, folder: str) -> None:
    target = TARGETS[name]
    corpus = Path(folder) / "corpus"
    corpus.mkdir(parents=True)
    raw = isinstance(target.cases(0, 0)[0], bytes)
    for number, tape in enumerate(_tapes(target, raw)):
        (corpus / f"{number:03}").write_bytes(tape)
    with target.check() as check:

        def one(data: bytes) -> None:
            cases = _cases(target, data, raw)
            try:
                check(cases)
            except BaseException:
                Path(folder, "found").write_text(msgspec.msgpack.encode(cases).hex())
                raise

        flags = [f"-seed={seed}", f"-max_total_time={seconds}", *_FLAGS, f"-artifact_prefix={folder}/"]
        atheris.Setup([sys.argv[0], *flags, str(corpus)], one)
        atheris.Fuzz()  # ends the process


def _cases(target: Target, data: bytes, raw: bool) -> Cases:
    """One case: the bytes themselves, or what the target makes of dice that read them."""
    if raw and data[:1] == b"\0":
        return [data[1:]]
    return target.make(Tape(data[1:]), 1)


def _tapes(target: Target, raw: bool) -> list[bytes]:
    dice = Random(target.name)
    made = [b"\0" + case for case in target.cases(1, 0)[:_SEEDS]] if raw else []
    return made + [b"\1" + dice.randbytes(_SEED_BYTES) for _ in range(_SEEDS)]


if __name__ == "__main__":
    main(*sys.argv[1:])
