"""What comes out of Kafka and goes into Kafka and Redis, and what goes wrong on the way."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.parts import (
    CHOSEN,
    OF_JOB,
    Bounds,
    Builder,
    Query,
    Row,
    board,
    increase,
    number,
    quantiles,
    rate,
    series,
    total,
)


def built() -> Dashboard:
    return board(
        "kafka-redis",
        "Interest updater: Kafka and Redis",
        "Lag, durability, recovery and the consumer group; Redis; dead letters by reason.",
        [
            Row("Lag and durability", _durability()),
            Row("Group and recovery", _group()),
            Row("Redis", _redis()),
            Row("Dead letters", _letters()),
        ],
        of="interest_ready",
    )


def _durability() -> list[Builder]:
    return [
        number(
            "Behind by",
            "How long what waits in Kafka takes at the present pace. Good: below a second.",
            Query(f"max(job:interest_lag:seconds{{{OF_JOB}}})"), "s", Bounds(10, 60), alerts=("InterestLagGrows",),
        ),
        number(
            "Events that wait",
            "In Kafka after the committed offset, all topics.",
            Query(f"sum(job:interest_lag_events:sum{{{OF_JOB}}})"), decimals=0, alerts=("InterestLagGrows",),
        ),
        number(
            "Commit age, oldest",
            "Of the oldest event that is applied and not yet durable. Good: below half a second; from 30 s on /readyz"
            " fails.",
            Query(f"max(interest_commit_age_seconds{{{CHOSEN}}})"), "s", Bounds(5, 30), alerts=("InterestCommitStuck",),
        ),
        number(
            "Changelog",
            "Bytes of states written a second. About 4 kB a user that was touched since the last flush, half of it with"
            " INTEREST_FLUSH__SUMS=int8.",
            Query(rate("interest_flush_bytes_total")), "Bps",
        ),
        number(
            "To be recovered",
            "Records of the changelog that are still to be read, at most. 0 when recovery is complete.",
            Query(total("interest_restore_remaining_records")), decimals=0, alerts=("InterestRestoreStuck",),
        ),
        number(
            "Redis losses, a day",
            "Times Redis was found empty or replaced. Good: none; after one, interest rebuild-redis.",
            Query(increase("interest_redis_losses_total", "1d")), bounds=Bounds(0.5, 1), decimals=0,
            alerts=("InterestRedisLost",),
        ),
        series(
            "Lag by topic",
            "Events after the committed offset. Good: some hundreds, going up and down.",
            Query(total("interest_lag_events", "topic"), "{{topic}}"), alerts=("InterestLagGrows",),
        ),
        series(
            "Commit age",
            "By worker. Steps of seconds are Redis or Kafka that answer slowly.",
            Query(f"interest_commit_age_seconds{{{CHOSEN}}}", "{{instance}}"), "s", bounds=Bounds(5, 30),
            alerts=("InterestCommitStuck",),
        ),
        series(
            "Flush",
            "From the snapshot of dirty states until Kafka has acknowledged them. Good: below 100 ms.",
            quantiles("interest_flush_seconds"), "s", logarithmic=True,
        ),
        series(
            "States in a flush",
            "Each dirty user once, however many events.",
            quantiles("interest_flush_users"),
        ),
        series(
            "Changelog bytes",
            "By worker; what Kafka keeps of it is one state a user after compaction.",
            Query(rate("interest_flush_bytes_total", "instance"), "{{instance}}"), "Bps", stacked=True,
        ),
        series(
            "Foreign writes",
            "Times that somebody else had written into a worker's changelog partition, and it was written again. Good:"
            " none; one after a worker was frozen.",
            Query(increase("interest_foreign_writes_total", "1h", "instance"), "{{instance}}"),
            alerts=("InterestForeignWrites",),
        ),
    ]  # fmt: skip


def _group() -> list[Builder]:
    return [
        series(
            "Partitions",
            "Of the state table, by worker. Good: all of them in sum, about as many in each; a spare has none.",
            Query(total("interest_partitions", "instance"), "{{instance}}"), stacked=True,
        ),
        series(
            "Rebalances",
            "Times partitions were given up, within five minutes. Good: none but at a start, a stop, an upgrade.",
            Query(increase("interest_rebalances_total", "5m", "instance"), "{{instance}}"),
            alerts=("InterestGroupUnsettled",),
        ),
        series(
            "Recovery",
            "States read from the changelog a second, and records that are left. Measured: deploy/docs/figures.md.",
            [
                Query(rate("interest_restored_users_total", "instance"), "{{instance}} a second"),
                Query(f"interest_restore_remaining_records{{{CHOSEN}}}", "{{instance}} left"),
            ],
            alerts=("InterestRestoreStuck",),
        ),
    ]  # fmt: skip


def _redis() -> list[Builder]:
    stage = "interest_stage_seconds"
    redis = f'{CHOSEN},stage="redis"'
    return [
        series(
            "A write to Redis",
            "One round trip for all users of a cycle. Good: below 5 ms at some thousand events/s.",
            quantiles(stage, redis), "s", 6, Bounds(0.05, 0.25), logarithmic=True,
        ),
        series(
            "Retries",
            "Writes that were tried again, a second. Good: none; after INTEREST_REDIS__GIVE_UP_S (60) a worker stops.",
            Query(rate("interest_redis_retries_total", "instance"), "{{instance}}"), "ops", 6,
            alerts=("InterestCommitStuck",),
        ),
        series(
            "Losses",
            "Within an hour, by what was found: empty, or replaced by another server. Every worker counts its own.",
            Query(increase("interest_redis_losses_total", "1h", "found"), "{{found}}"), width=6,
            alerts=("InterestRedisLost",),
        ),
        series(
            "Writes that failed for good",
            "By sink; the worker stops after one, so it is seen here only where a scrape came between.",
            Query(increase("interest_write_errors_total", "1h", "sink"), "{{sink}}"), width=6,
            alerts=("InterestWorkerRestarts",),
        ),
    ]  # fmt: skip


def _letters() -> list[Builder]:
    return [
        series(
            "Dead letters by reason",
            "The reason is also a header of each; stream_app/contracts/reasons.py has the mend for each. Good: none.",
            Query(rate("interest_dead_letters_total", "reason"), "{{reason}}"), "cps", 12, stacked=True,
            alerts=("InterestDeadLetterShare", "InterestDeadLetterFlood"),
        ),
        series(
            "Share of bad events",
            "Of all events. From 1 % on a producer is to be mended; at 50 % of a minute's workers stop themselves.",
            Query(f"job:interest_events_dead_lettered:ratio_rate5m{{{OF_JOB}}}", "{{job}}"), "percentunit", 12,
            Bounds(0.01, 0.2), alerts=("InterestDeadLetterShare", "InterestDeadLetterFlood"),
        ),
    ]  # fmt: skip
