"""The clients of other languages, made ready once for all tests."""

import os
from pathlib import Path

import pytest

from tests.conformance import toolchains


@pytest.fixture(scope="session")
def node_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toolchains.node(tmp_path_factory.mktemp("node") / "package")


@pytest.fixture(scope="session")
def go_conformance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toolchains.go("conformance", tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="session")
def java_class_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toolchains.java(tmp_path_factory.mktemp("java"))


@pytest.fixture(scope="session")
def go_publish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its Kafka client takes as long to compile as all else together, so it is built where that is asked for."""
    if not os.environ.get("CLIENTS"):
        pytest.skip("the Go producer takes a minute to compile: make clients")
    return toolchains.go("publish", tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="session")
def go_read(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toolchains.go("read", tmp_path_factory.mktemp("go"))
