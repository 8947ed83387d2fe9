"""Every setting, in one frozen tree.

Read from the environment (`INTEREST_KAFKA__BOOTSTRAP=host:9092`, two underscores between levels) and from the TOML
file that `INTEREST_CONFIG` names; the environment wins. Secrets may also lie in files of a folder that
`INTEREST_SECRETS` names, each file named like the variable, as Docker and Kubernetes mount them; they print as
`**********`. Units are in the names.
"""

import ipaddress
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from stream_app.contracts.generations import FIRST, named
from stream_app.masking import keep_secret

if TYPE_CHECKING:
    from model_store.state.memory import Decays  # imports numba, which no command's help waits for

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]

DAY_S = 86_400
# Redis refuses a time to live that leaves 64 bits, after the key was written.
Lifetime = Annotated[int, Field(gt=0, le=36_500 * DAY_S)]
MIN_KEY_CHARACTERS = 32
PREFIX = "INTEREST_"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class Topics(Section):
    """Names of the Kafka topics; their contracts are in the README."""

    clicks: str = "interest.clicks"
    follows: str = "interest.follows"
    ratings: str = "interest.ratings"
    erasures: str = "interest.erasures"
    items: str = "interest.items"
    knowledge: str = "interest.knowledge"
    recommendations: str = "interest.recommendations"
    dead_letters: str = "interest.dead-letters"

    @model_validator(mode="after")
    def _distinct(self) -> "Topics":
        names = list(self.model_dump().values())
        if len(set(names)) < len(names):
            raise ValueError(f"each topic needs a name of its own, these are {', '.join(names)}"[:1_000])
        return self

    @property
    def inputs(self) -> tuple[str, str, str, str]:
        """Input topics in the order of `Kind`."""
        return self.clicks, self.follows, self.ratings, self.erasures


class Tls(Section):
    """PEM files. Without `ca_file` the system's authorities count; certificate and key only for mutual TLS."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class KafkaSecurity(Tls):
    """How to get into Kafka. `SSL` with a certificate is mutual TLS; the `SASL_` ones send user name and password."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = SecretStr("")

    @property
    def encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def by_password(self) -> bool:
        return self.protocol.startswith("SASL")

    @model_validator(mode="after")
    def _used(self) -> Self:
        if self.by_password and not (self.username and self.password.get_secret_value()):
            raise ValueError(f"{self.protocol} needs username and password")
        if not self.by_password and self.password.get_secret_value():
            raise ValueError(f"a password is given, but protocol {self.protocol} sends none: use SASL_SSL")
        if not self.encrypted and (self.ca_file or self.cert_file):
            raise ValueError(f"certificates are given, but protocol {self.protocol} uses none: use SSL or SASL_SSL")
        return self


class Kafka(Section):
    """Where the topics are, and the group's part in them. `generation`: whose states (`contracts/generations.py`);
    `handover_s`: how long the one that served goes on publishing once another one serves."""

    security: KafkaSecurity = KafkaSecurity()
    bootstrap: str = "127.0.0.1:9092"
    group: str = "interest"
    generation: Positive = FIRST
    handover_s: Annotated[float, Field(ge=0)] = 60.0
    partitions: Positive = 8
    replication: Positive = 1
    topics: Topics = Topics()
    session_timeout_s: PositiveFloat = 30.0
    heartbeat_s: PositiveFloat = 3.0
    rebalance_timeout_s: PositiveFloat = 60.0
    request_timeout_s: PositiveFloat = 20.0
    fetch_wait_ms: Positive = 10
    fetch_max_bytes: Positive = 1 << 20
    commit_interval_s: PositiveFloat = 0.1
    metadata_max_age_s: PositiveFloat = 30.0

    @property
    def consumer_group(self) -> str:
        """Of this generation's workers; `group` is what the names of all generations begin with."""
        return named(self.group, self.generation)

    @property
    def changelog(self) -> str:
        """Topic of the state table's changelog, as Faust names it."""
        return f"{self.consumer_group}-state-changelog"


class Redis(Section):
    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    username: str = ""
    password: SecretStr = SecretStr("")
    tls: Tls = Tls()
    cluster: bool = False
    ttl_s: Lifetime = 90 * DAY_S
    erased_ttl_s: Lifetime = 3600
    timeout_s: PositiveFloat = 5.0
    give_up_s: PositiveFloat = 60.0
    users_per_script: Positive = 200

    @property
    def encrypted(self) -> bool:
        return self.url.get_secret_value().startswith("rediss://")

    @model_validator(mode="after")
    def _used(self) -> Self:
        if not self.encrypted and (self.tls.ca_file or self.tls.cert_file):
            raise ValueError("certificates are given, but the URL does not ask for TLS: use rediss://")
        return self


class ModelStore(Section):
    url: str = Field(default=".interest/models", description="Folder or any fsspec URL that holds the model versions.")
    threads: Positive = 1
    poll_s: Annotated[float, Field(ge=0, description="How often workers look for another version; 0: never.")] = 5.0
    inline_users: Annotated[int, Field(ge=0)] = 64
    large_batch_users: Positive = 4096


class Cycle(Section):
    """How much is done at once. Large cycles amortise fixed costs, small ones are the latency."""

    max_events: Positive = 65_536
    max_backlog_events: Positive = 131_072
    max_unacked_events: Positive = 1_000_000
    inline_events: Positive = 512
    stall_s: PositiveFloat = 30.0


class Social(Section):
    """How what followees like comes to their followers. What it is worth there is learnt."""

    enabled: bool = Field(default=True, description="Off: follows are counted and kept, and change no vector.")
    max_age_s: PositiveFloat = Field(
        default=60.0, description="A followed user's vector is read again when it was read so long ago."
    )
    room: Positive = Field(default=100_000, description="Followed users whose vectors a worker keeps, 0.3 kB each.")
    timeout_s: PositiveFloat = Field(default=0.25, description="Then a cycle goes on with the vectors that it has.")
    blocked: tuple[str, ...] = Field(
        default=(), description='Targets that influence nobody, JSON: ["user:42", "creator:acme", "topic:Drama"].'
    )

    @field_validator("blocked")
    @classmethod
    def _are_targets(cls, blocked: tuple[str, ...]) -> tuple[str, ...]:
        for one in blocked:
            if one.partition(":")[0] not in ("user", "creator", "topic") or not one.partition(":")[2]:
                raise ValueError(f"{one!r} is none of user:ID, creator:ID, topic:NAME"[:200])
        return blocked


class Flush(Section):
    """When dirty states are written to the changelog, and how. `duty` bounds the share of time spent on it, `timeout_s`
    how long Kafka may take to acknowledge what is written to any topic. With `sums` int8 a state is half as long, and
    what is read again is rounded; all workers read both."""

    sums: Literal["float32", "int8"] = "float32"
    interval_s: PositiveFloat = 0.25
    max_touched_users: Positive = 500_000
    duty: Share = 0.2
    timeout_s: PositiveFloat = 20.0


class Trainer(Section):
    """How the stream is learnt from: the readout at `rate`, item vectors and biases at `table_rate`. `held_out_share`
    of the clicks of the last `held_out_s` is what a new version is judged on; nothing is published while more than
    `publish_lag_events` are still to be read. One version in `whole_every` is stored whole, the others as their
    differences from it where that is shorter; in those an item's vector, bias and popularity stay as published last
    until they have moved by `min_change`, relative to all items'. Of its own versions the trainer keeps the last
    `keep_versions`."""

    rate: PositiveFloat = 5e-4
    table_rate: PositiveFloat = 4e-3
    passes: Positive = 2
    replays: Annotated[int, Field(ge=0)] = 1
    rounds_kept: Positive = 50
    round_clicks: Positive = 50
    max_round_clicks: Positive = 2_000
    learn_interval_s: PositiveFloat = 1.0
    publish_interval_s: PositiveFloat = 60.0
    publish_lag_events: Positive = 10_000
    snapshot_interval_s: PositiveFloat = 300.0
    held_out_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    held_out_s: PositiveFloat = 3_600.0
    held_out_enough: Positive = 50
    keep_versions: Positive = 30
    whole_every: Positive = 30
    min_change: Share = 0.02
    seed: Annotated[int, Field(ge=0)] = 0


class Training(Section):
    """Half-lives of what `interest train` makes, in clicks or in seconds: short ones where interests and items pass
    quickly. They are constants of a generation. Those that are not given are the data set's own, see
    `model_store.state.memory`."""

    rank_half_lives_events: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    time_half_lives_s: tuple[PositiveFloat, PositiveFloat] | None = None
    content_half_life_s: PositiveFloat | None = None

    def half_lives(self, own: "Decays") -> "Decays":
        """A data set's own ones, but for those that are given."""
        given: dict[str, Any] = {}
        if self.rank_half_lives_events:
            given["rank_half_lives_events"] = self.rank_half_lives_events
        if self.time_half_lives_s:
            given["time_half_lives_ms"] = tuple(1000 * seconds for seconds in self.time_half_lives_s)
        if self.content_half_life_s:
            given["content_half_life_ms"] = 1000 * self.content_half_life_s
        return replace(own, **given)


class Encoder(Section):
    """What reads item texts; see `model_store.catalog.encoders.build.EncoderConfig`. `hashing` needs nothing,
    `sentence` the extra `text`, `multilingual` the extra of that name, `endpoint` the extra `llm`, `base_url` and
    `model`. Another one means new vectors for all items, and a new generation of the model."""

    kind: Literal["hashing", "sentence", "multilingual", "endpoint"] = "hashing"
    dimension: Annotated[int, Field(ge=0)] = 0
    folder: Path | None = None
    threads: Positive = 1
    base_url: str = ""
    model: str = ""
    api_key: SecretStr = SecretStr("")
    timeout_s: PositiveFloat = 20.0
    attempts: Positive = 4
    batch: Positive = 64


class LanguageModel(Section):
    """An endpoint of OpenAI's chat protocol (extra `llm`), and what it may be asked. Without `model` there is none."""

    base_url: str = ""
    model: str = ""
    api_key: SecretStr = SecretStr("")
    timeout_s: PositiveFloat = 30.0
    attempts: Positive = 3
    concurrency: Positive = 4
    requests_per_hour: Annotated[int, Field(ge=0)] = 1_000
    tokens_per_hour: Annotated[int, Field(ge=0)] = 2_000_000
    requests_per_day: Annotated[int, Field(ge=0)] = 10_000
    tokens_per_day: Annotated[int, Field(ge=0)] = 20_000_000


class Annotator(LanguageModel):
    """A language model that says what items are about. Without one the items' tags do. It is never asked twice for the
    same text, nor more than the limits allow."""


class Catalog(Section):
    """The catalogue service. `taxonomy`: a TOML file of topics (`interest taxonomy` makes a first one); without it
    the topics are those of the served model. `batch_items`: how many are described at once."""

    encoder: Encoder = Encoder()
    annotator: Annotator = Annotator()
    taxonomy: Path | None = None
    batch_items: Positive = 256


class Words(LanguageModel):
    """A language model that words explanations of interests. Without one, and wherever it gives nothing fit within
    `answer_s`, a template does. `timeout_s`: of one request; `concurrency`: users whom the model is asked about at
    once, others get the template; `cached`: how many explanations are kept in memory, for `cached_s` at most."""

    timeout_s: PositiveFloat = 8.0
    attempts: Positive = 2
    answer_s: PositiveFloat = 10.0
    cached: Positive = 10_000
    cached_s: PositiveFloat = 3_600.0


class Recommend(Section):
    enabled: bool = True
    items: Annotated[int, Field(gt=0, le=10)] = 10
    min_interval_s: Annotated[float, Field(ge=0)] = 60.0
    min_drift: Annotated[float, Field(ge=0, le=2)] = 0.02


class Accept(Section):
    """What is taken for a valid event, and when bad ones are a flood."""

    max_value_bytes: Positive = 65_536
    max_future_s: PositiveFloat = 300.0
    max_dwell_ms: Positive = 86_400_000
    flood_share: Share = 0.5
    flood_min_events: Positive = 1_000
    erasure_memory_s: Positive = 30 * DAY_S


class Metrics(Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9108


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Web(Section):
    """The pages. Beyond loopback only with a `token`, which clients send as `Authorization: Bearer ...` and people type
    once. `at_once`: explanations that are made at a time; `idle_s`: how long a client may say nothing; `streams`: pages
    that may be open at a time; `poll_ms`: how often Redis is looked at for them; `metrics_urls`: `/metrics` of workers,
    trainer and catalogue service, for the system page; `what_if`: what its states are made from: `clicks` that reasons
    in Redis name, or the user's own state out of the `changelog` in Kafka; `off`."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9180
    token: SecretStr = SecretStr("")
    at_once: Positive = 64
    idle_s: PositiveFloat = 15.0
    streams: Positive = 64
    poll_ms: Annotated[int, Field(ge=250)] = 250
    metrics_urls: tuple[str, ...] = ("http://127.0.0.1:9108/metrics",)
    what_if: Literal["clicks", "changelog", "off"] = "clicks"

    @property
    def on_loopback(self) -> bool:
        return self.host == "localhost" or _is_loopback(self.host)

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        if text and (len(text) < MIN_KEY_CHARACTERS or not text.isascii() or not text.isprintable() or " " in text):
            raise ValueError(f"a token has at least {MIN_KEY_CHARACTERS} characters of ASCII: openssl rand -hex 32")
        return token

    @field_validator("metrics_urls")
    @classmethod
    def _are_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for one in urls:
            if not one.startswith(("http://", "https://")):
                raise ValueError(f"{one[:100]!r} is no http(s) URL: 'http://worker:9108/metrics' would be one")
        return urls

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not self.on_loopback and not self.token.get_secret_value():
            raise ValueError(
                f"host {self.host[:100]} is not loopback, where anybody could read about users: set INTEREST_WEB__TOKEN"
                " (openssl rand -hex 32), or host 127.0.0.1"
            )
        return self


class Health(Section):
    """When `/healthz` and `/readyz` say no."""

    max_beat_age_s: PositiveFloat = 5.0
    max_group_age_s: PositiveFloat = 30.0
    max_commit_age_s: PositiveFloat = 30.0


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = False


class Settings(BaseSettings):
    """The whole tree; `load()` reads it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # it may be a secret
        nested_model_default_partial_update=True,
    )

    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    models: ModelStore = ModelStore()
    cycle: Cycle = Cycle()
    flush: Flush = Flush()
    recommend: Recommend = Recommend()
    social: Social = Social()
    training: Training = Training()
    trainer: Trainer = Trainer()
    catalog: Catalog = Catalog()
    words: Words = Words()
    web: Web = Web()
    accept: Accept = Accept()
    metrics: Metrics = Metrics()
    health: Health = Health()
    log: Log = Log()
    data_dir: Path = Path(".interest")
    pseudonym_key: SecretStr = Field(
        default=SecretStr(""),
        description="If set, ids are kept as pseudonyms under this key (`contracts/pseudonyms.py`). It is for life.",
    )

    @property
    def local_copies(self) -> Path:
        """Where model versions are fetched to."""
        return self.data_dir / "fetched"

    def of_generation(self, generation: int) -> "Settings":
        """Those of another generation's workers."""
        return self.model_copy(update={"kafka": self.kafka.model_copy(update={"generation": generation})})

    @field_validator("pseudonym_key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        if 0 < len(key.get_secret_value()) < MIN_KEY_CHARACTERS:
            raise ValueError(f"a key of less than {MIN_KEY_CHARACTERS} characters can be guessed: openssl rand -hex 32")
        return key

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        config = os.environ.get("INTEREST_CONFIG")
        files = (TomlConfigSettingsSource(settings_cls, Path(config)),) if config else ()
        secrets = os.environ.get("INTEREST_SECRETS")
        mounted = (
            (NestedSecretsSettingsSource(file_secret_settings, secrets_dir=secrets, secrets_dir_missing="error"),)
            if secrets
            else ()
        )
        return init_settings, env_settings, *mounted, *files


def load(**overrides: object) -> Settings:
    """Settings from environment and file; `overrides` win over both.

    Raises pydantic's ValidationError, and SettingsError for a file or a variable that cannot be parsed.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]  # pydantic validates what the caller gives
    except (UnicodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{os.environ.get('INTEREST_CONFIG')} is no TOML: {str(error)[:200]}") from error
    _keep_secrets(settings)
    return settings


def _keep_secrets(section: BaseModel) -> None:
    for _, value in section:
        if isinstance(value, SecretStr):
            keep_secret(value.get_secret_value())
        elif isinstance(value, BaseModel):
            _keep_secrets(value)


def environment(settings: Settings, around: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process that is to have just these settings, and of `around` what are no settings."""
    others = {name: value for name, value in around.items() if not name.startswith(PREFIX)}
    return others | {PREFIX + name.upper(): text for name, text in _flat(settings, "")}


def _flat(section: BaseModel, path: str) -> Iterator[tuple[str, str]]:
    for name, value in section:
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{path}{name}__")
        elif value is not None:
            yield path + name, _text(value)


def _text(value: object) -> str:
    """As a variable has it."""
    if isinstance(value, tuple):
        return json.dumps(value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
