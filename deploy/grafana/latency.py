"""Where the milliseconds between an event's Kafka timestamp and Redis go."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.parts import (
    CHOSEN,
    WINDOW,
    Bounds,
    Builder,
    Query,
    Row,
    board,
    heat,
    quantile,
    quantiles,
    rate,
    series,
    total,
)

LATE = ("InterestLatencyBudgetBurnsFast",)


def built() -> Dashboard:
    return board(
        "latency",
        "Interest updater: latency by stage",
        "From an event's Kafka timestamp to Redis: which stage takes how long, and how much is done at once.",
        [
            Row("From Kafka to Redis", _whole()),
            Row("Stages of a cycle", _stages()),
            Row("How much at once", _sizes()),
            Row("What holds everything up", _held_up()),
        ],
        of="interest_ready",
    )


def _whole() -> list[Builder]:
    latency = "interest_event_to_redis_seconds"
    return [
        heat(
            "Event to Redis, all events",
            "Each column is how the latencies of that time are spread. Good: one band below 20 ms; a second band far"
            " above it are events that waited, for a restart, a rebalance or Redis.",
            rate(f"{latency}_bucket", "le"), "s",
        ),
        series(
            "Event to Redis, p99 by kind",
            "Kinds go the same way; one that is slower comes from a producer that sends late, or in batches.",
            Query(quantile(0.99, latency, "kind"), "{{kind}}"), "s", 12, Bounds(0.1, 0.25), logarithmic=True,
            alerts=LATE,
        ),
    ]  # fmt: skip


def _stages() -> list[Builder]:
    stage = "interest_stage_seconds"
    meaning = (
        "decode: JSON to columns; advance: states; followees: their vectors from Redis; readout: TensorFlow; recommend:"
        " the best items; redis: the write; publish and dead_letter: to Kafka, beside the write; changelog: a flush."
    )
    return [
        series(
            "Stage, p50",
            f"Half of the cycles take less. {meaning} Good: each below 5 ms at some thousand events/s.",
            Query(quantile(0.5, stage, "stage"), "{{stage}}"), "s", logarithmic=True,
        ),
        series(
            "Stage, p99",
            "The slowest of a hundred cycles. The stage that rises together with event to Redis is the one to look at:"
            " redis is Redis or the network, readout and recommend are CPU, changelog is Kafka.",
            Query(quantile(0.99, stage, "stage"), "{{stage}}"), "s", bounds=Bounds(0.1, 0.25), logarithmic=True,
            alerts=LATE,
        ),
        series(
            "Time spent, by stage",
            "Seconds a second. Stages overlap: one cycle is written while the next is read out. A stage near 1 in one"
            " worker is what bounds its throughput.",
            Query(rate(f"{stage}_sum", "stage"), "{{stage}}"), stacked=True,
        ),
    ]  # fmt: skip


def _sizes() -> list[Builder]:
    return [
        series(
            "Events in a cycle",
            "Everything that waits is one cycle. Good at low rates: a few; thousands while a backlog is worked off.",
            quantiles("interest_cycle_events"), logarithmic=True,
        ),
        series(
            "Users in a write",
            "Users whose interests one write to Redis refreshed; fewer than events where users repeat.",
            quantiles("interest_cycle_users"), logarithmic=True,
        ),
        series(
            "Events in a slab",
            "All fetched records of one partition. Good: as many as arrive within fetch_wait_ms; small slabs at a high"
            " rate are too many partitions.",
            quantiles("interest_slab_events"), logarithmic=True,
        ),
        series(
            "Cycles a second",
            "Good at low rates: as many as there are fetches. Few and large ones are a worker that works off a"
            " backlog.",
            Query(rate("interest_cycle_events_count", "instance"), "{{instance}}"), "ops",
        ),
        series(
            "Events fetched and not yet applied",
            "In memory, up to INTEREST_CYCLE__MAX_BACKLOG_EVENTS. Good: near 0; high and flat is a worker at its"
            " limit.",
            Query(total("interest_backlog_events", "instance"), "{{instance}}"),
        ),
        series(
            "Recommendations",
            "Published a second: users whose vector moved enough, at most one a minute for each.",
            Query(rate("interest_recommendations_total"), "published"), "ops",
        ),
    ]  # fmt: skip


def _held_up() -> list[Builder]:
    return [
        series(
            "Event loop held up",
            "How much later than asked a timer ran. Good: p99 below 10 ms; what holds it up holds up everything.",
            quantiles("interest_loop_block_seconds"), "s", bounds=Bounds(0.05, 0.25), logarithmic=True,
            alerts=("InterestEventLoopBlocked",),
        ),
        series(
            "Garbage collections",
            "A second, by generation. The last one stops the worker for longer: good is nearly none of it.",
            Query(rate("python_gc_collections_total", "generation"), "generation {{generation}}"), "ops",
        ),
        series(
            "Followed users whose vectors were read",
            "From Redis, on the way: found, unknown there, or failed, after which a cycle goes on with what it has."
            " Revisited: followers written again though nothing came from them. Good: none failed.",
            (
                Query(rate("interest_followee_reads_total", "outcome"), "{{outcome}}"),
                Query(rate("interest_followers_revisited_total"), "followers revisited"),
            ),
            "ops",
        ),
        series(
            "Followed users at hand",
            "Kept in memory, up to INTEREST_SOCIAL__ROOM. At that bound they are read again and again.",
            Query(total("interest_followees", "instance"), "{{instance}}"),
        ),
        series(
            "Open files",
            "Connections and files. Good: flat.",
            Query(f"process_open_fds{{{CHOSEN}}}", "{{instance}}"),
        ),
        series(
            "Late by event time",
            "Events older than the longest window: applied to memories, but in no window. Good: none; many are a"
            " producer that sends old events, or a clock that is wrong.",
            Query(f"sum by (kind) (rate(interest_late_events_total{{{CHOSEN}}}[{WINDOW}]))", "{{kind}}"), "cps",
        ),
    ]  # fmt: skip
