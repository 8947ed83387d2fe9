"""Compiles every kernel that a worker runs into the cache folder of this user: once for an image, not at each start.

    python deploy/docker/compile_kernels.py

A made-up shop is learnt for one pass, and events of every kind are rehearsed with that model. So the build also shows
that training and serving work with what was installed.
"""

import sys
import tempfile
from pathlib import Path

from model_store.kernels import cache_folder
from model_store.model import load_model
from model_store.registry import ModelRegistry
from stream_app.commands.train import train
from stream_app.rehearsal import rehearse
from stream_app.settings import load


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        models = str(Path(folder) / "models")
        train("shop", models=models, epochs=1, version="build")
        registry = ModelRegistry(models)
        rehearse(load(), load_model(registry.fetch("build", Path(folder) / "fetched")))
    compiled = len(list(cache_folder().rglob("*.nbc")))
    sys.stdout.write(f"{compiled} kernels compiled into {cache_folder()}\n")
    return 0 if compiled else 1


if __name__ == "__main__":
    sys.exit(main())
