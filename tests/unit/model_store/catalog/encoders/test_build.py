"""From settings to encoders."""

from typing import Any, cast

import pytest

from model_store.catalog.encoders.build import EncoderConfig, build_encoder
from model_store.catalog.encoders.endpoint import EndpointEncoder
from model_store.catalog.errors import MisconfiguredError


def test_hashing_is_what_needs_nothing() -> None:
    assert build_encoder(EncoderConfig()).name == "hashing:512"
    assert build_encoder(EncoderConfig(dimension=64)).dimension == 64


def test_models_by_name() -> None:
    assert build_encoder(EncoderConfig("sentence")).name == "all-MiniLM-L6-v2-int8"


def test_an_endpoint_needs_its_url() -> None:
    config = EncoderConfig("endpoint", base_url="http://127.0.0.1:1/v1", model="m", api_key="secret", dimension=5)
    encoder = build_encoder(config)
    assert isinstance(encoder, EndpointEncoder)
    assert (encoder.name, encoder.dimension) == ("endpoint:m", 5)
    assert "secret" not in repr(config) + repr(encoder)
    encoder.close()
    with pytest.raises(MisconfiguredError, match="base_url and model"):
        build_encoder(EncoderConfig("endpoint", model="m"))


def test_an_unknown_kind_is_told_what_there_is() -> None:
    with pytest.raises(MisconfiguredError, match="hashing, sentence, multilingual, endpoint"):
        build_encoder(EncoderConfig(cast(Any, "other")))
