"""From a few settings to an encoder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from model_store.catalog.encoders.endpoint import EndpointEncoder
from model_store.catalog.encoders.hashing import DIMENSION, HashingEncoder
from model_store.catalog.encoders.multilingual import MultilingualEncoder
from model_store.catalog.encoders.port import TextEncoder
from model_store.catalog.encoders.sentence import SentenceEncoder
from model_store.catalog.errors import MisconfiguredError
from model_store.catalog.remote import Access, Retries

Kind = Literal["hashing", "sentence", "multilingual", "endpoint"]


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Which encoder, and what it needs to know.

    Attributes:
        kind: `hashing` needs nothing and finds the same words in any script, not the same meaning; `sentence` is for
            English; `multilingual` reads a hundred languages, an eighth as fast; `endpoint` is any service that speaks
            OpenAI's protocol.
        dimension: of `hashing`, and of `endpoint` where known; 0 for the usual one, or the one that it answers with.
        folder: of `sentence`: with `model.onnx` and `tokenizer.json` instead of what the extra brings.
        threads: of `sentence` and `multilingual`.
        base_url, model, api_key, timeout_s, attempts, batch: of `endpoint`.
    """

    kind: Kind = "hashing"
    dimension: int = 0
    folder: Path | None = None
    threads: int = 1
    base_url: str = ""
    model: str = ""
    api_key: str = field(default="", repr=False)
    timeout_s: float = 20.0
    attempts: int = 4
    batch: int = 64


def build_encoder(config: EncoderConfig) -> TextEncoder:
    """Ready to encode; that of an endpoint may be closed. Raises MisconfiguredError for what a person must mend: a
    missing extra, a broken file, an URL that is none."""
    match config.kind:
        case "hashing":
            return HashingEncoder(config.dimension or DIMENSION)
        case "sentence":
            return SentenceEncoder.load(config.folder, config.threads)
        case "multilingual":
            return MultilingualEncoder.load(config.threads)
        case "endpoint":
            return _endpoint(config)
    raise MisconfiguredError(f"there is no encoder {config.kind!r}: choose one of {', '.join(get_args(Kind))}")


def _endpoint(config: EncoderConfig) -> EndpointEncoder:
    if not (config.base_url and config.model):
        raise MisconfiguredError("an endpoint needs base_url and model")
    access = Access(config.base_url, config.model, config.api_key, config.timeout_s)
    return EndpointEncoder(access, Retries(config.attempts), config.batch, config.dimension or None)
