"""Who has rehearsed meets no compiler at work: a kernel takes seconds to be compiled, in which the event loop hangs."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from model_store.state import arena, codec
from model_store.state.layout import USER
from stream_app.rehearsal import _Record, rehearse
from stream_app.settings import load
from stream_app.states import States
from tests.bench.model import catalogue_model, current_model


def test_every_kernel_of_recovery_is_rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = current_model(catalogue_model(tmp_path / "models", 40), tmp_path / "fetched")
    value, _ = codec.encode(np.ones(1, USER), np.array([0]))
    ran: set[str] = set()
    for module in (arena, codec):
        _note_kernels(module, ran, monkeypatch)
    States().restore(0, [_Record("changelog", 0, b"user", bytes(value))], read_to=1)
    needed = set(ran)
    ran.clear()
    rehearse(load(), model)
    assert needed >= {"_copy_newer", "_decode"}
    assert ran >= needed


def _note_kernels(module: ModuleType, ran: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a module whose kernels do not call each other."""
    for name, kernel in list(vars(module).items()):
        if isinstance(kernel, Dispatcher):
            monkeypatch.setattr(module, name, _noting(name, kernel, ran))


def _noting(name: str, kernel: Callable[..., Any], ran: set[str]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        ran.add(name)
        return kernel(*args)

    return run
