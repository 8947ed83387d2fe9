"""Every setting, in one frozen tree.

Read from the environment (`INTEREST_KAFKA__BOOTSTRAP=host:9092`, two underscores between levels) and from the TOML
file that `INTEREST_CONFIG` names; the environment wins. Secrets may also lie in files of a folder that
`INTEREST_SECRETS` names, each file named like the variable, as Docker and Kubernetes mount them; they print as
`**********`. Units are in the names.

Below each stands what it is, and after an empty line when one would change it: `interest settings --markdown` makes
`deploy/docs/settings.md` of that.
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
from stream_app.variables import PREFIX, nearest, settings_in, unknown

if TYPE_CHECKING:
    from model_store.state.memory import Decays  # imports numba, which no command's help waits for

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]

DAY_S = 86_400
# Redis refuses a time to live that leaves 64 bits, after the key was written.
Lifetime = Annotated[int, Field(gt=0, le=36_500 * DAY_S)]
MIN_KEY_CHARACTERS = 32


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Topics(Section):
    """Names of the Kafka topics; their contracts are in the README."""

    clicks: str = "interest.clicks"
    """Clicks, keyed by user id; an input.

    Your topics have names of their own.
    """

    follows: str = "interest.follows"
    """Follows and unfollows, keyed by user id; an input.

    Your topics have names of their own.
    """

    ratings: str = "interest.ratings"
    """Ratings, keyed by user id; an input.

    Your topics have names of their own.
    """

    erasures: str = "interest.erasures"
    """Users to be forgotten, keyed by user id; an input.

    Your topics have names of their own.
    """

    items: str = "interest.items"
    """Items, keyed by item id and compacted; read by the catalogue service.

    Your topics have names of their own.
    """

    knowledge: str = "interest.knowledge"
    """What the catalogue service tells of items, keyed by item id and compacted.

    Your topics have names of their own.
    """

    recommendations: str = "interest.recommendations"
    """Recommendation events, keyed by user id; an output.

    Your topics have names of their own.
    """

    dead_letters: str = "interest.dead-letters"
    """Events that are not valid, with the reason; an output.

    Your topics have names of their own.
    """

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
    """PEM file of the authorities that are trusted; without it the system's.

    The server's certificate is signed by an authority of your own.
    """

    cert_file: Path | None = None
    """PEM file of the certificate that this side shows: mutual TLS.

    The server asks its clients for certificates.
    """

    key_file: Path | None = None
    """PEM file of the certificate's private key.

    Together with `cert_file`.
    """

    key_password: SecretStr = SecretStr("")
    """What the private key is encrypted with; empty: it is not.

    The key file is encrypted.
    """

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class KafkaSecurity(Tls):
    """How to get into Kafka. `SSL` with a certificate is mutual TLS; the `SASL_` ones send user name and password."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to get into Kafka: with TLS or without, with user and password (`SASL_`) or without.

    Wherever others reach the network: `SASL_SSL`, or `SSL` with a certificate.
    """

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the password is sent, of the `SASL_` protocols.

    The broker offers another one only.
    """

    username: str = ""
    """User name of the `SASL_` protocols.

    Together with a `SASL_` protocol.
    """

    password: SecretStr = SecretStr("")
    """Password of the `SASL_` protocols.

    Together with a `SASL_` protocol; better as a file in the folder that `INTEREST_SECRETS` names.
    """

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
    """Where the topics are, and the group's part in them."""

    security: KafkaSecurity = KafkaSecurity()
    bootstrap: str = "127.0.0.1:9092"
    """Kafka servers to begin with, `HOST:PORT`, several with commas.

    Kafka is not on this machine.
    """

    group: str = "interest"
    """Consumer group of the first generation's workers; it names the changelog and all later generations' groups too.

    Several installations share one Kafka.
    """

    generation: Positive = FIRST
    """Whose states are kept: a generation has a group, a changelog, a pointer in the model store and keys in Redis of
    its own.

    A new generation is built beside the one that serves.
    """

    handover_s: Annotated[float, Field(ge=0)] = 60.0
    """Seconds for which the generation that served goes on publishing once another one serves.

    Longer where the new generation may be further behind at the switch; consumers then see more lists twice.
    """

    partitions: Positive = 8
    """Partitions of the inputs and of the changelog, for life.

    Once, before the first event: as many as the most workers you will ever want.
    """

    replication: Positive = 1
    """Copies of each topic that `interest topics create` asks for.

    3 in production; it cannot be more than there are brokers.
    """

    topics: Topics = Topics()
    session_timeout_s: PositiveFloat = 30.0
    """Seconds without a heartbeat after which the group drops a worker. A worker writes for half of it after an
    answered heartbeat.

    Shorter: a dead worker's partitions move sooner; longer: slow networks and pauses cost no rebalance.
    """

    heartbeat_s: PositiveFloat = 3.0
    """Seconds between two heartbeats to the group; a third of `session_timeout_s` at most.

    Together with `session_timeout_s`.
    """

    rebalance_timeout_s: PositiveFloat = 60.0
    """Seconds that a worker has to give up its partitions at a rebalance: finish its writes and flush.

    Flushes take longer, with very many users a worker.
    """

    request_timeout_s: PositiveFloat = 20.0
    """Seconds after which a request to Kafka counts as failed.

    The broker is far away or overloaded.
    """

    fetch_wait_ms: Positive = 10
    """Milliseconds that the broker may hold a fetch back to have more to return.

    Larger: fewer fetches at low rates; smaller: an event waits less.
    """

    fetch_max_bytes: Positive = 1 << 20
    """Bytes that one fetch returns of one partition at most; the length of a slab.

    Smaller where memory is short, larger to catch up over a slow network.
    """

    commit_interval_s: PositiveFloat = 0.1
    """Seconds between two commits of offsets.

    Longer: fewer requests; after a crash more events are read twice, and recognised.
    """

    metadata_max_age_s: PositiveFloat = 30.0
    """Seconds after which topics and leaders are looked up again; a topic that grew is noticed then.

    Hardly ever.
    """

    @property
    def consumer_group(self) -> str:
        """Of this generation's workers; `group` is what the names of all generations begin with."""
        return named(self.group, self.generation)

    @property
    def changelog(self) -> str:
        """Topic of the state table's changelog, as Faust names it."""
        return f"{self.consumer_group}-state-changelog"


class Redis(Section):
    """Where interests are read by others, and how patiently they are written."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Where Redis is: `redis://HOST:PORT/DB`, with TLS `rediss://`.

    Redis is not on this machine.
    """

    username: str = ""
    """User of Redis' access list; empty: the default user.

    With `deploy/redis-users.acl`: `interest`.
    """

    password: SecretStr = SecretStr("")
    """The user's password.

    Redis asks for one; better as a file in the folder that `INTEREST_SECRETS` names.
    """

    tls: Tls = Tls()
    cluster: bool = False
    """Whether the server is a Redis Cluster.

    It is one.
    """

    ttl_s: Lifetime = 90 * DAY_S
    """Seconds after a user's last event at which their keys go.

    Shorter saves memory; who comes back later starts in Redis at their next event, with the state intact.
    """

    erased_ttl_s: Lifetime = 3600
    """Seconds for which the version of an erased user stays in Redis, so that no late write brings them back.

    Hardly ever; longer than any write may be late.
    """

    timeout_s: PositiveFloat = 5.0
    """Seconds after which one request to Redis counts as failed, and is tried again.

    Longer where Redis is slow under load, shorter to notice a dead one sooner.
    """

    give_up_s: PositiveFloat = 60.0
    """Seconds for which writes are tried again; then the worker stops, and events wait in Kafka.

    Longer than your fail-over takes.
    """

    users_per_script: Positive = 200
    """Users that one call of the write script writes, which Redis does without interruption.

    Smaller where other clients' p99 on the same Redis matters more than throughput.
    """

    @property
    def encrypted(self) -> bool:
        return self.url.get_secret_value().startswith("rediss://")

    @model_validator(mode="after")
    def _used(self) -> Self:
        if not self.encrypted and (self.tls.ca_file or self.tls.cert_file):
            raise ValueError("certificates are given, but the URL does not ask for TLS: use rediss://")
        return self


class ModelStore(Section):
    """Where model versions are, and how they are run."""

    url: str = ".interest/models"
    """Folder, or any fsspec URL (`s3://bucket/models`), that holds the model versions.

    Workers run on more than one machine.
    """

    threads: Positive = 1
    """Threads that TensorFlow may use in a worker.

    More than one core is given to one worker; more workers are the better use of them.
    """

    poll_s: Annotated[float, Field(ge=0)] = 5.0
    """Seconds between two looks for another version and for what the catalogue tells; 0: never.

    Shorter where items live for minutes, longer where the store charges for each look.
    """

    inline_users: Annotated[int, Field(ge=0)] = 64
    """Up to so many users are read out in the event loop by TensorFlow Lite; more go to a thread.

    After measuring: a hand-over costs about as much as 64 users.
    """

    large_batch_users: Positive = 4096
    """Users that go through the model together at most.

    Smaller where memory is short.
    """


class Cycle(Section):
    """How much is done at once. Large cycles amortise fixed costs, small ones are the latency."""

    max_events: Positive = 65_536
    """Events that one cycle applies at most.

    Smaller: Redis is written to sooner under a backlog; larger: less is spent on each event.
    """

    max_backlog_events: Positive = 131_072
    """Events that are fetched ahead of the cycles at most, in memory.

    Smaller where memory is short.
    """

    max_unacked_events: Positive = 1_000_000
    """Events that may be applied and not yet durable; then the worker waits.

    Larger: more can go on while Redis is away; a crash then repeats more.
    """

    inline_events: Positive = 512
    """Up to so many events are applied in the event loop; more go to a thread. A cycle that is smaller waits until the
    last one is being written.

    After measuring.
    """

    stall_s: PositiveFloat = 30.0
    """Seconds after which a hung event loop or computation ends the worker.

    Longer on a machine that is suspended or starved.
    """


class Social(Section):
    """How what followees like comes to their followers. What it is worth there is learnt."""

    enabled: bool = True
    """Whether what followed users, creators and topics like comes to their followers; off: follows are counted and
    kept, and change no vector.

    Follows mean something else with you.
    """

    max_age_s: PositiveFloat = 60.0
    """Seconds after which a followed user's vector is read again.

    Shorter: followers see changes sooner; it costs reads from Redis.
    """

    refresh_s: Annotated[float, Field(ge=0)] = 900.0
    """Seconds within which followers who do nothing themselves are read out and written again, since those whom they
    follow may have changed; 0: at their next event only.

    Shorter: silent followers see changes sooner. A worker looks at 2,560 users a second at most.
    """

    room: Positive = 100_000
    """Followed users whose vectors a worker keeps, about 0.3 kB each.

    More are followed at a time than fit: `interest_followees` stands at it.
    """

    timeout_s: PositiveFloat = 0.25
    """Seconds after which a cycle goes on with the vectors that it has.

    Smaller where latency matters more than freshness of followees.
    """

    blocked: tuple[str, ...] = ()
    """Targets that influence nobody, as JSON: `["user:42", "creator:acme", "topic:Drama"]`.

    Somebody games follows, or a topic must not spread.
    """

    @field_validator("blocked")
    @classmethod
    def _are_targets(cls, blocked: tuple[str, ...]) -> tuple[str, ...]:
        for one in blocked:
            if one.partition(":")[0] not in ("user", "creator", "topic") or not one.partition(":")[2]:
                raise ValueError(f"{one!r} is none of user:ID, creator:ID, topic:NAME"[:200])
        return blocked


class Flush(Section):
    """When dirty states are written to the changelog, and how."""

    sums: Literal["float32", "int8"] = "float32"
    """How states are written to the changelog; `int8` is half as long, and what is read again is rounded. All workers
    read both.

    The changelog is too large, or recovery reads too long.
    """

    interval_s: PositiveFloat = 0.25
    """Seconds between two flushes, while nothing waits.

    Longer: less changelog; offsets commit later, and a crash repeats more.
    """

    max_touched_users: Positive = 500_000
    """Users touched since the last flush that make another one due at once.

    Smaller where memory is short.
    """

    duty: Share = 0.2
    """Share of the time that flushes may take while events wait.

    Larger: offsets commit sooner under a backlog; smaller: events are applied faster.
    """

    timeout_s: PositiveFloat = 20.0
    """Seconds that Kafka may take to acknowledge what is written to any topic; then the worker stops.

    Longer than a broker's fail-over takes.
    """


class Trainer(Section):
    """How the stream is learnt from, and when a version is published."""

    rate: PositiveFloat = 5e-4
    """Step size of the readout's weights.

    After `interest bench prequential` on your data.
    """

    table_rate: PositiveFloat = 4e-3
    """Step size of item vectors and biases.

    After `interest bench prequential` on your data.
    """

    passes: Positive = 2
    """Steps on new clicks.

    After `interest bench prequential` on your data.
    """

    replays: Annotated[int, Field(ge=0)] = 1
    """Steps on earlier rounds, after those on new clicks; 0: none.

    Fewer where the trainer does not keep up.
    """

    rounds_kept: Positive = 50
    """Rounds in the replay buffer.

    Fewer where memory is short.
    """

    round_clicks: Positive = 50
    """Clicks that are learnt together.

    Larger: fewer, cheaper steps; weights are a little older.
    """

    max_round_clicks: Positive = 2_000
    """Clicks learnt from in one go at most; what is beyond is counted and not learnt.

    Larger where the trainer has cores to spare.
    """

    learn_interval_s: PositiveFloat = 1.0
    """Seconds after which whatever has come is learnt, however little.

    Longer where it shares a core.
    """

    publish_interval_s: PositiveFloat = 60.0
    """Seconds between two versions.

    Shorter: fresher weights; every worker loads each version.
    """

    publish_lag_events: Positive = 10_000
    """Nothing is published while more events than this are still to be read.

    Larger on a very busy stream, where so many are always on their way.
    """

    snapshot_interval_s: PositiveFloat = 300.0
    """Seconds between two snapshots of all that the trainer knows.

    Shorter: less is read again after a crash.
    """

    held_out_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Share of the clicks that are never learnt from; a new version is judged on them.

    Larger where clicks are few and verdicts uncertain.
    """

    held_out_s: PositiveFloat = 3_600.0
    """Seconds for which a held-out click is used.

    Longer where clicks are few.
    """

    held_out_enough: Positive = 50
    """Held-out clicks below which a version is promoted unjudged.

    Larger to judge on more, later.
    """

    keep_versions: Positive = 30
    """Versions of its own that the trainer leaves in the store.

    More, to be able to roll back further.
    """

    whole_every: Positive = 30
    """One version in so many is stored whole, the others as differences.

    Smaller: versions load from fewer files; larger: less is stored.
    """

    min_change: Share = 0.02
    """How far an item must have moved to be published anew, as a share of what items differ by.

    Smaller: exact vectors; larger: shorter versions.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the order of replays and of dropout.

    To see how much chance is in a result.
    """


class Training(Section):
    """Half-lives of what `interest train` makes, in clicks or in seconds: short ones where interests and items pass
    quickly. They are constants of a generation. Those that are not given are the data set's own, see
    `model_store.state.memory`."""

    rank_half_lives_events: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Half-lives of the three rank lanes, in clicks, as JSON; unset: the data set's own.

    Shorter where sessions are short and interests pass quickly. A new generation.
    """

    time_half_lives_s: tuple[PositiveFloat, PositiveFloat] | None = None
    """Half-lives of the two time lanes in seconds, as JSON; unset: the data set's own.

    Half an hour and a day for news, a week and a season for a shop. A new generation.
    """

    content_half_life_s: PositiveFloat | None = None
    """Half-life of the content memory in seconds; unset: the data set's own.

    As the time lanes. A new generation.
    """

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
    """What reads item texts; see `model_store.catalog.encoders.build.EncoderConfig`."""

    kind: Literal["hashing", "sentence", "multilingual", "endpoint"] = "hashing"
    """What reads item texts. `hashing` needs nothing, `sentence` the extra `text`, `multilingual` the extra of that
    name, `endpoint` the extra `llm`. Another one means new vectors for all items and a new generation.

    Items should be alike by meaning, not by words alone.
    """

    dimension: Annotated[int, Field(ge=0)] = 0
    """Length of a vector; 0: the usual one of `hashing`, or what the endpoint answers with.

    The endpoint offers several.
    """

    folder: Path | None = None
    """Folder with `model.onnx` and `tokenizer.json`, of `sentence`, instead of what the extra brings.

    You have a model of your own.
    """

    threads: Positive = 1
    """Threads of `sentence` and `multilingual`.

    The catalogue service has more cores.
    """

    base_url: str = ""
    """URL of an embeddings service of OpenAI's protocol, of `endpoint`.

    With `kind = "endpoint"`.
    """

    model: str = ""
    """The model's name there.

    With `kind = "endpoint"`.
    """

    api_key: SecretStr = SecretStr("")
    """The key that the service wants.

    The service asks for one; better as a file in the folder that `INTEREST_SECRETS` names.
    """

    timeout_s: PositiveFloat = 20.0
    """Seconds after which a request to the service counts as failed.

    The service is slower.
    """

    attempts: Positive = 4
    """Attempts at one request.

    The service fails often, or charges for each attempt.
    """

    batch: Positive = 64
    """Texts in one request.

    The service allows fewer, or is quicker with more.
    """


class LanguageModel(Section):
    """An endpoint of OpenAI's chat protocol (extra `llm`), and what it may be asked. Without `model` there is none."""

    base_url: str = ""
    """URL of a chat service of OpenAI's protocol.

    A language model is to be used.
    """

    model: str = ""
    """The model's name there; empty: no language model is asked.

    A language model is to be used.
    """

    api_key: SecretStr = SecretStr("")
    """The key that the service wants.

    The service asks for one; better as a file in the folder that `INTEREST_SECRETS` names.
    """

    timeout_s: PositiveFloat = 30.0
    """Seconds after which one request counts as failed.

    The model is slower.
    """

    attempts: Positive = 3
    """Attempts at one request.

    The service fails often, or charges for each attempt.
    """

    concurrency: Positive = 4
    """Requests that are under way at once.

    The service allows more or fewer.
    """

    requests_per_hour: Annotated[int, Field(ge=0)] = 1_000
    """Requests in any hour at most; what is beyond is answered without the model.

    Your budget is another one.
    """

    tokens_per_hour: Annotated[int, Field(ge=0)] = 2_000_000
    """Tokens, both ways, in any hour at most.

    Your budget is another one.
    """

    requests_per_day: Annotated[int, Field(ge=0)] = 10_000
    """Requests in any day at most.

    Your budget is another one.
    """

    tokens_per_day: Annotated[int, Field(ge=0)] = 20_000_000
    """Tokens, both ways, in any day at most.

    Your budget is another one.
    """


class Annotator(LanguageModel):
    """A language model that says what items are about. Without one the items' tags do. It is never asked twice for the
    same text, nor more than the limits allow."""


class Catalog(Section):
    """The catalogue service."""

    encoder: Encoder = Encoder()
    annotator: Annotator = Annotator()
    taxonomy: Path | None = None
    """TOML file of topics (`interest taxonomy` makes a first one); unset: the served model's topics.

    The topics should be those that a person has named.
    """

    batch_items: Positive = 256
    """Items that are described at once.

    Smaller where memory is short.
    """


class Words(LanguageModel):
    """A language model that words explanations of interests. Without one, and wherever it gives nothing fit within
    `answer_s`, a template does. `concurrency`: users whom it is asked about at once, others get the template."""

    timeout_s: PositiveFloat = 8.0
    """Seconds after which one request to the language model counts as failed.

    The model is slower.
    """

    attempts: Positive = 2
    """Attempts at one request, within `answer_s`.

    The service fails often, or charges for each attempt.
    """

    answer_s: PositiveFloat = 10.0
    """Seconds after which the template answers instead.

    People wait more or less patiently.
    """

    cached: Positive = 10_000
    """Explanations that are kept in memory.

    More users are asked about.
    """

    cached_s: PositiveFloat = 3_600.0
    """Seconds for which an explanation is kept, at most.

    Shorter: a changed title shows sooner; each new text may cost a request.
    """


class Recommend(Section):
    """When a user gets another list, and how long it is."""

    enabled: bool = True
    """Whether recommendations are made at all.

    Only vectors are wanted; a cycle is then cheaper.
    """

    items: Annotated[int, Field(gt=0, le=10)] = 10
    """Items in one recommendation.

    Fewer are shown.
    """

    min_interval_s: Annotated[float, Field(ge=0)] = 60.0
    """Seconds between two recommendations of the same user at least.

    Shorter: lists follow clicks more closely; more is published.
    """

    min_drift: Annotated[float, Field(ge=0, le=2)] = 0.02
    """How far a user's vector must have moved (1 - cosine) to bring another list.

    Smaller: more lists; larger: only real changes bring one.
    """


class Accept(Section):
    """What is taken for a valid event, and when bad ones are a flood."""

    max_value_bytes: Positive = 65_536
    """Bytes of an event's value at most; longer ones are dead letters.

    Your events carry more; they are read whole in any case.
    """

    max_future_s: PositiveFloat = 300.0
    """Seconds that an event's `ts` may lie ahead of this machine's clock.

    Producers' clocks are worse.
    """

    max_dwell_ms: Positive = 86_400_000
    """Milliseconds of `dwell_ms` at most.

    Items are dwelt on for longer than a day.
    """

    flood_share: Share = 0.5
    """Share of bad events in a minute above which the worker stops; 1: never.

    A topic is full of bad events that are to become dead letters.
    """

    flood_min_events: Positive = 1_000
    """Events in a minute below which there is no flood.

    Events are few, and a flood should be noticed among them.
    """

    erasure_memory_s: Positive = 30 * DAY_S
    """Seconds for which an erasure is remembered, so that events from before it stay out.

    Longer than any event may come late or again, and than any topic keeps events.
    """


class Metrics(Section):
    """Where a worker's metrics and health are served."""

    host: str = "127.0.0.1"
    """Address that `/metrics`, `/healthz` and `/readyz` listen on.

    `0.0.0.0` in a container, where Prometheus comes from elsewhere.
    """

    port: Annotated[int, Field(ge=0, le=65_535)] = 9108
    """Port of `/metrics`, `/healthz` and `/readyz`; 0 takes a free one, which is logged.

    Several workers run on one machine.
    """


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Web(Section):
    """The pages. Beyond loopback only with a `token`."""

    host: str = "127.0.0.1"
    """Address that the pages listen on; beyond loopback only with `token`.

    Others are to see the pages, through a proxy that does TLS.
    """

    port: Annotated[int, Field(ge=0, le=65_535)] = 9180
    """Port of the pages.

    The port is taken.
    """

    token: SecretStr = SecretStr("")
    """What clients send as `Authorization: Bearer ...` and people type once, 32 characters at least; empty: loopback
    only.

    `host` is not loopback: `openssl rand -hex 32`.
    """

    at_once: Positive = 64
    """Explanations that are made at a time; more are answered with 503.

    The machine or Redis bears more or less.
    """

    idle_s: PositiveFloat = 15.0
    """Seconds for which a client may say nothing before it is cut off.

    Clients are far away.
    """

    streams: Positive = 64
    """Pages that may be open at a time; more are answered with 503.

    More people look at once; each costs a connection.
    """

    poll_ms: Annotated[int, Field(ge=250)] = 250
    """Milliseconds between two looks at Redis for all open pages together.

    Longer where Redis is busy or far away.
    """

    metrics_urls: tuple[str, ...] = ("http://127.0.0.1:9108/metrics",)
    """`/metrics` of workers, trainer and catalogue service, for the system page, as JSON. A name with several
    addresses, as a headless service of Kubernetes has, stands for all of them.

    They run elsewhere, or there are several.
    """

    what_if: Literal["clicks", "changelog", "off"] = "clicks"
    """What "what would change if" begins with: `clicks`, those that reasons in Redis name; `changelog`, the user's own
    state, read out of Kafka on request, from which a user's page also tells the last clicks and the windows by time;
    `off`, nothing.

    `changelog` is exact, and needs Kafka.
    """

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
    """Seconds since the event loop last turned above which `/healthz` says no.

    Longer on a starved machine, where a restart would not help.
    """

    max_group_age_s: PositiveFloat = 30.0
    """Seconds since the group last answered above which `/readyz` says no.

    Together with `kafka.session_timeout_s`.
    """

    max_commit_age_s: PositiveFloat = 30.0
    """Seconds since the oldest event that is applied and not durable above which `/readyz` says no.

    Shorter to take a worker that cannot write out of service sooner.
    """


class Traces(Section):
    """Where spans of cycles and their stages are sent; needs the extra `traces`."""

    endpoint: str = ""
    """URL of an OpenTelemetry collector, OTLP over HTTP (`http://HOST:4318/v1/traces`); empty: nothing is traced.

    You want to see where single cycles spend their time.
    """

    share: Share = 0.01
    """Share of the cycles that are traced.

    1 while you look for something; each traced cycle sends about ten spans.
    """


class Log(Section):
    """What is logged, and how it looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged at least.

    `debug` to see which generation publishes; `warning` for what needs a person alone.
    """

    json_lines: bool = False
    """One JSON object a line instead of text for people.

    Something reads the log: Loki, Elasticsearch, journald.
    """


class Settings(BaseSettings):
    """The whole tree; `load()` reads it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # it may be a secret
        nested_model_default_partial_update=True,
        use_attribute_docstrings=True,
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
    traces: Traces = Traces()
    log: Log = Log()
    data_dir: Path = Path(".interest")
    """Folder of this installation's own files: fetched models, the trainer's snapshots, servers of the demo.

    A container's writable volume is elsewhere.
    """

    pseudonym_key: SecretStr = SecretStr("")
    """Key under which ids are kept as pseudonyms (`contracts/pseudonyms.py`), 32 characters at least; empty: ids are
    kept as they are. For life: with another key everybody is new.

    Nobody behind the workers may read ids. Before the first event.
    """

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

    Raises pydantic's ValidationError, and SettingsError for a file or a variable that cannot be parsed, and for a
    variable that is no setting: a misspelt one would go unnoticed.
    """
    _require_known({**os.environ, **dict.fromkeys(_mounted(), "")})
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]  # pydantic validates what the caller gives
    except (UnicodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{os.environ.get('INTEREST_CONFIG')} is no TOML: {str(error)[:200]}") from error
    _keep_secrets(settings)
    return settings


def _require_known(around: Mapping[str, str]) -> None:
    strange = unknown(around, Settings)
    if strange:
        known = [setting.variable for setting in settings_in(Settings)]
        meant = [f"{name} ({_or_nothing(nearest(name.upper(), known))})" for name in strange[:10]]
        raise SettingsError(f"these variables are no settings: {', '.join(meant)}. `interest settings` lists all")


def _mounted() -> list[str]:
    """Names of the files in the folder of secrets."""
    folder = os.environ.get("INTEREST_SECRETS")
    return [path.name for path in Path(folder).iterdir() if path.is_file()] if folder and Path(folder).is_dir() else []


def _or_nothing(name: str | None) -> str:
    return f"is {name} meant?" if name else "nothing is called so"


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
