"""What the settings say of encoder and annotator; apart from the service, since training asks the same encoder."""

from model_store.catalog.annotators.budget import Limits
from model_store.catalog.annotators.build import AnnotatorConfig
from model_store.catalog.encoders.build import EncoderConfig
from stream_app.settings import Annotator, Encoder, Settings


def encoder_config(settings: Encoder) -> EncoderConfig:
    """As the settings say."""
    plain = settings.model_dump(exclude={"api_key"})
    return EncoderConfig(**plain, api_key=settings.api_key.get_secret_value())


def annotator_config(settings: Settings) -> AnnotatorConfig:
    """As the settings say; answers and costs are kept in the data folder."""
    of: Annotator = settings.catalog.annotator
    return AnnotatorConfig(
        of.base_url,
        of.model,
        of.api_key.get_secret_value(),
        of.timeout_s,
        of.attempts,
        of.concurrency,
        Limits(of.requests_per_hour, of.tokens_per_hour, of.requests_per_day, of.tokens_per_day),
        store=settings.data_dir / "catalog" / "annotations.sqlite",
    )
