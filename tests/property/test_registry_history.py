"""Any order of promotions and roll-backs against a plain list."""

import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.manifest import ModelError
from model_store.registry import ModelRegistry

VERSIONS = ("a", "b", "c")


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from([*VERSIONS, "back"]), max_size=12))
def test_the_pointer_is_a_stack(steps: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("made")
    (folder / "file").write_text("x")
    registry = ModelRegistry(f"memory://{uuid.uuid4().hex}")
    for version in VERSIONS:
        registry.publish(folder, version)
    served: list[str] = []
    for step in steps:
        if step != "back":
            registry.promote(step)
            if served[-1:] != [step]:
                served.append(step)
        elif len(served) < 2:
            with pytest.raises(ModelError):
                registry.roll_back()
        else:
            served.pop()
            assert registry.roll_back() == served[-1]
        assert registry.current() == (served[-1] if served else None)
        assert registry.history() == tuple(served[:-1])
