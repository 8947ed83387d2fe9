"""Titles a second of each local text encoder that is installed, in one process and on one thread.

    python -m tests.bench.encoder --json FILE

Titles are synthetic: five to seven English words out of a fixed vocabulary. JSON: `encoders`, a list of `encoder, name,
dimension, titles, titles_per_second` and `titles_per_cpu_second`, `load_seconds`; `missing`: those that are not
installed.
"""

import time
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from model_store.catalog.encoders.build import EncoderConfig, Kind, build_encoder
from model_store.catalog.errors import MisconfiguredError
from tests.bench.report import console, run, save, show
from tests.bench.titles import titles

LOCAL: tuple[Kind, ...] = ("hashing", "sentence", "multilingual")
WARM = 64


def measured(kind: Kind, seconds: float, batch: int, threads: int) -> dict[str, Any]:
    """Figures of one encoder. Raises MisconfiguredError where it is not installed."""
    began_s = time.perf_counter()
    encoder = build_encoder(EncoderConfig(kind, threads=threads))
    texts = titles(10_000_000)
    encoder.encode(list(islice(texts, WARM)))
    loaded_s, cpu_s, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - loaded_s < seconds:
        done += len(encoder.encode(list(islice(texts, batch))))
    took_s, cpu_s = time.perf_counter() - loaded_s, time.process_time() - cpu_s
    return {
        "encoder": kind,
        "name": encoder.name,
        "dimension": encoder.dimension,
        "titles": done,
        "titles_per_second": done / took_s,
        "titles_per_cpu_second": done / cpu_s,
        "load_seconds": loaded_s - began_s,
    }


def main(
    seconds: Annotated[float, typer.Option(help="How long each is measured.")] = 15.0,
    batch: Annotated[int, typer.Option(help="Titles at once.")] = 256,
    threads: Annotated[int, typer.Option(help="Of `sentence` and `multilingual`.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    rows, missing = [], []
    for kind in LOCAL:
        try:
            rows.append(measured(kind, seconds, batch, threads))
        except MisconfiguredError as error:
            console.print(f"{kind}: {error}", style="dim")
            missing.append(kind)
    show("text encoders, synthetic titles", [{x: row[x] for x in row if x != "load_seconds"} for row in rows])
    save(json, {"encoders": rows, "missing": missing, "threads": threads, "batch": batch})


if __name__ == "__main__":
    run(main)
