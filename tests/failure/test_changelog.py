"""A real worker recovers from any legal changelog on a real Kafka, and says of an illegal one what is wrong and where.

The changelog of each test is written by hand, each partition in another state, before the worker starts.
"""

from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from model_store.state import codec
from model_store.state.hashing import partition_of
from model_store.state.layout import USER
from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka
from stream_app.local.server import free_port
from stream_app.settings import Settings
from tests.bench.ground import Broker, unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import look, read_topic
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, now_ms, wait_for

# The servers' part is the same on both; `tests/contract` tries the other one.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

COMPACTED, CUT, EMPTY, BURIED, MARKED, EMPTIED, LATE, KEYLESS = range(8)
PARTITIONS = 8
ROUNDS, USERS, FILL = 40, 300, 1_500
"""States a user, users, and bytes of each state: enough for several of the smallest segments that Kafka makes."""


CROWD = 40_000
"""Users whose recovery takes long enough to be disturbed."""


class Log:
    """The changelog, to be written by hand."""

    def __init__(self, settings: Settings) -> None:
        self.topic, self.bootstrap = settings.kafka.changelog, settings.kafka.bootstrap
        self._where = {"bootstrap.servers": self.bootstrap}
        self.admin = AdminClient({**self._where, "log_level": 3})
        self._broker = Broker(settings.kafka.bootstrap)

    def write(self, partition: int, *records: tuple[bytes | None, bytes | None]) -> None:
        self._write(Producer({**self._where, "linger.ms": 5}), partition, *records)

    def takes(self, partition: int, record: tuple[bytes | None, bytes | None]) -> bool:
        """Writes it, unless it is refused."""
        return not self._refused(Producer(self._where), partition, record)

    def write_in_transaction(self, partition: int, *records: tuple[bytes, bytes], commit: bool) -> None:
        producer = Producer({**self._where, "transactional.id": unique("changelog")})
        producer.init_transactions(30)
        producer.begin_transaction()
        self._write(producer, partition, *records)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)

    def _write(self, producer: Producer, partition: int, *records: tuple[bytes | None, bytes | None]) -> None:
        refused = self._refused(producer, partition, *records)
        assert not refused, refused

    def _refused(self, producer: Producer, partition: int, *records: tuple[bytes | None, bytes | None]) -> list[object]:
        answers: list[object] = []
        for key, value in records:
            producer.produce(self.topic, value, key, partition, on_delivery=lambda error, _: answers.append(error))
            producer.poll(0)
        assert not producer.flush(30)
        return [answer for answer in answers if answer]

    def end(self, partition: int) -> int:
        return self._broker.ends([self.topic])[self.topic, partition]

    def delete_before(self, partition: int, offset: int) -> None:
        """As retention would; Kafka refuses both on a topic that is only compacted."""
        self.configure(ResourceType.TOPIC, self.topic, cleanup_policy="compact,delete")
        wait_for("the policy", lambda: self._delete_before(partition, offset) or None)
        self.configure(ResourceType.TOPIC, self.topic, cleanup_policy="compact")

    def _delete_before(self, partition: int, offset: int) -> bool:
        """Whether it was done: a change of the policy is acknowledged before it is in force."""
        for answer in self.admin.delete_records([TopicPartition(self.topic, partition, offset)]).values():
            try:
                answer.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.POLICY_VIOLATION:
                    raise
                return False
        return True

    def configure(self, kind: ResourceType, name: str, **configs: str | None) -> None:
        """None takes back what was set."""
        entries = [
            ConfigEntry(
                key.replace("_", "."),
                value,
                incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET,
            )
            for key, value in configs.items()
        ]
        for answer in self.admin.incremental_alter_configs(
            [ConfigResource(kind, name, incremental_configs=entries)]
        ).values():
            answer.result()


def state(version: int, fill: int = 0) -> bytes:
    """A user after so many clicks of the same moment; `fill` makes it longer."""
    record = np.zeros(1, USER)
    record["version"] = record["events"] = record["clicks"] = version
    record["event_ts_ms"] = record["bank_ts_ms"] = now_ms()
    record["rank"].reshape(-1)[: fill // 4] = 1.0
    return bytes(codec.encode(record, np.array([0]))[0])


@pytest.fixture
def worker(kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path: Path) -> Member:
    """Not started yet; its topics are there."""
    url, name = redis_url.removesuffix("0") + "6", unique("changelog")
    model = catalogue_model(tmp_path / "models", 40)
    settings = member_settings(kafka.bootstrap, url, model, name, tmp_path, PARTITIONS)
    make_topics(settings)
    return Member(settings, tmp_path / "worker", nursery)


def test_any_legal_changelog_is_restored(worker: Member) -> None:
    """Every user's next event counts on top of the last state; who is late in the log is written again."""
    log, service = Log(worker.settings), Neighbour(worker.settings)
    expected = {}
    for partition, writing in enumerate((compacted, cut, nothing, buried, marked, emptied, late, keyless)):
        users = service.users_in(partition, USERS if partition == COMPACTED else 3)
        expected |= writing(log, partition, users)
    with worker:
        ready = worker.wait_ready()
        assert ready.total("interest_restore_remaining_records") == 0
        for user in expected:
            service.send("click", user)
        service.until_committed()
        for user, version in expected.items():
            assert service.events_of(user, version + 1).version == version + 1, user
        assert worker.terminate() == 0
    found = look(worker.settings, list(expected))
    assert {user: found.states[user].version for user in expected} == {
        user: version + 1 for user, version in expected.items()
    }
    service.close()


def compacted(log: Log, partition: int, users: list[str]) -> dict[str, int]:
    """By the broker itself, with segments as small as they get: most offsets are holes."""
    log.configure(ResourceType.BROKER, "1", log_cleaner_backoff_ms="200")
    log.configure(
        ResourceType.TOPIC, log.topic, segment_bytes=str(1 << 20), min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="1000", min_compaction_lag_ms="0",
    )  # fmt: skip
    for version in range(1, ROUNDS + 1):
        log.write(partition, *((user.encode(), state(version, FILL)) for user in users))
    wait_for("compaction", lambda: _is_compacted(log, partition) or None, 60)
    log.configure(ResourceType.BROKER, "1", log_cleaner_backoff_ms=None)
    return dict.fromkeys(users, ROUNDS)


def _is_compacted(log: Log, partition: int) -> bool:
    """Whether more than half of what was written is gone."""
    kept = sum(record.partition() == partition for record in read_topic(log.bootstrap, log.topic))
    return kept < log.end(partition) / 2


def cut(log: Log, partition: int, users: list[str]) -> dict[str, int]:
    """Its head is deleted, and with it one user."""
    log.write(partition, *((user.encode(), state(5)) for user in users))
    log.delete_before(partition, 1)
    return {users[0]: 0, users[1]: 5, users[2]: 5}


def nothing(log: Log, partition: int, users: list[str]) -> dict[str, int]:
    return dict.fromkeys(users, 0)


def buried(log: Log, partition: int, users: list[str]) -> dict[str, int]:
    """It ends with tombstones, of a user whom nothing else is known of."""
    gone, *others = users
    log.write(partition, *((user.encode(), state(2)) for user in others), (gone.encode(), None), (b"nobody", None))
    return {gone: 0, others[0]: 2, others[1]: 2}


def marked(log: Log, partition: int, users: list[str]) -> dict[str, int]:
    """It ends with markers of transactions, one of which never happened: no record has the last offset."""
    a, b, c = users
    log.write(partition, (a.encode(), state(3)))
    log.write_in_transaction(partition, (b.encode(), state(4)), commit=True)
    log.write_in_transaction(partition, (c.encode(), state(9)), commit=False)
    return {a: 3, b: 4, c: 0}


def emptied(log: Log, partition: int, users: list[str]) -> dict[str, int]:
    """All that there was is deleted."""
    log.write(partition, *((user.encode(), state(7)) for user in users))
    log.delete_before(partition, log.end(partition))
    return dict.fromkeys(users, 0)


def late(log: Log, partition: int, users: list[str]) -> dict[str, int]:
    """A fenced worker has written after the one that took over."""
    log.write(partition, *((user.encode(), state(8)) for user in users))
    log.write(partition, *((user.encode(), state(6)) for user in users))
    return dict.fromkeys(users, 8)


def keyless(log: Log, partition: int, users: list[str]) -> dict[str, int]:
    """Records without a key, from when the topic was not compacted."""
    log.configure(ResourceType.TOPIC, log.topic, cleanup_policy="delete")
    wait_for("the policy", lambda: log.takes(partition, (None, state(1))) or None)
    log.write(partition, (users[0].encode(), state(4)), (None, b"?"))
    log.configure(ResourceType.TOPIC, log.topic, cleanup_policy="compact")
    return {users[0]: 4, users[1]: 0, users[2]: 0}


def test_late_states_are_written_again_without_any_event(worker: Member) -> None:
    """Compaction would keep only the late one, and no event may ever come."""
    log, service = Log(worker.settings), Neighbour(worker.settings)
    users = service.users_in(LATE, 3)
    late(log, LATE, users)
    with worker:
        worker.wait_ready()
        wait_for("the late ones", lambda: log.end(LATE) == 9 or None)
        assert worker.terminate() == 0
    assert {user: look(worker.settings, users).states[user].version for user in users} == dict.fromkeys(users, 8)
    service.close()


def test_a_live_worker_writes_again_what_somebody_else_overwrote(worker: Member) -> None:
    """A fenced worker wakes up and its last write gets through, behind the states of the one that took over."""
    log, service = Log(worker.settings), Neighbour(worker.settings)
    users = service.users_in(LATE, 3)
    log.write(LATE, *((user.encode(), state(8)) for user in users))
    with worker:
        worker.wait_ready()
        log.write(LATE, (users[1].encode(), state(6)))
        service.send("click", users[0])
        service.events_of(users[0], 9)
        worker.wait("noticed", lambda scrape: scrape.total("interest_foreign_writes_total") == 1, 30)
        wait_for("written again", lambda: log.end(LATE) == 3 + 1 + 1 + 3 or None)
        assert worker.terminate() == 0
    found = look(worker.settings, users)
    assert [found.states[user].version for user in users] == [9, 8, 8]
    service.close()


def test_rebalances_in_the_middle_of_recovery_lose_nobody(worker: Member, nursery: Nursery, tmp_path: Path) -> None:
    """Others join while it recovers, one of them is killed in its own recovery, and nobody is read in part."""
    log, service = Log(worker.settings), Neighbour(worker.settings)
    crowd = [b"user-%d" % number for number in range(CROWD)]
    for partition in range(PARTITIONS):
        log.write(partition, *((key, state(5, FILL)) for key in crowd if partition_of(key, PARTITIONS) == partition))
    second, third = (_beside(worker, tmp_path / name, nursery) for name in ("second", "third"))
    with worker, second, third:
        third.wait("recovering", lambda scrape: scrape.total("interest_restored_users_total") > 0, 60, 0.02)
        third.kill()
        wait_for("all", lambda: sum(_held(member) for member in (worker, second)) == CROWD or None, 60)
        for key in crowd[:: CROWD // 50]:
            service.send("click", key.decode())
        service.until_committed()
        for key in crowd[:: CROWD // 50]:
            assert service.events_of(key.decode(), 6).version == 6
        assert (worker.terminate(), second.terminate()) == (0, 0)
    service.close()


def _beside(worker: Member, log: Path, nursery: Nursery) -> Member:
    """Another member of its group."""
    port = worker.settings.metrics.model_copy(update={"port": free_port()})
    return Member(worker.settings.model_copy(update={"metrics": port}), log, nursery)


def _held(member: Member) -> int:
    """Users that a ready worker holds, before any event."""
    scrape = member.scrape()
    return int(scrape.total("interest_users")) if scrape and scrape.total("interest_ready") == 1 else 0


def test_damage_stops_the_worker_until_a_tombstone_lets_it_go_on(worker: Member) -> None:
    """With the last good state of the user, where the log still has one."""
    log, service = Log(worker.settings), Neighbour(worker.settings)
    user, other = service.users_in(CUT, 2)
    log.write(CUT, (user.encode(), state(3)), (other.encode(), state(2)), (user.encode(), state(4)[:-8]))
    with worker:
        assert worker.wait_exit(60) == EXIT_STOPPED
    said = worker.log_text()
    assert f"{log.topic}[{CUT}] offset 2: the state" in said
    assert user not in said
    assert "is damaged" in said
    assert "tombstone" in said
    log.write(CUT, (user.encode(), None))
    with worker:
        worker.wait_ready()
        service.send("click", user)
        assert service.events_of(user, 4).version == 4
        assert worker.terminate() == 0
    service.close()


def test_a_state_of_a_later_release_is_refused(worker: Member) -> None:
    log = Log(worker.settings)
    later = (codec.NEWEST + 1).to_bytes(8, "little") + state(1)[8:]
    service = Neighbour(worker.settings)
    good, newer = (user.encode() for user in service.users_in(EMPTY, 2))
    service.close()
    log.write(EMPTY, (good, state(1)), (newer, later))
    with worker:
        assert worker.wait_exit(60) == EXIT_STOPPED
    said = worker.log_text()
    assert f"{log.topic}[{EMPTY}] offset 1: the state" in said
    assert newer.decode() not in said
    assert "upgrade" in said
