"""Is it fresh, is it right, is it keeping up? The board to look at first."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.parts import (
    CHOSEN,
    GREEN,
    OF_JOB,
    RED,
    Bounds,
    Builder,
    Query,
    Row,
    board,
    increase,
    listing,
    number,
    quantile,
    quantiles,
    rate,
    series,
    states,
    total,
)

ALERTS = 'ALERTS{alertname=~"Interest.*",alertstate="firing"}'
BURNS = ("InterestLatencyBudgetBurnsFast", "InterestLatencyBudgetBurnsSlowly")


def built() -> Dashboard:
    return board(
        "overview",
        "Interest updater: overview",
        "Is it fresh, is it right, is it keeping up? Other boards say why not.",
        [Row("Is it fresh?", _fresh()), Row("Is it right?", _right()), Row("Is it keeping up?", _keeping_up())],
        of="interest_ready",
    )


def _fresh() -> list[Builder]:
    latency = "interest_event_to_redis_seconds"
    return [
        number(
            "Event to Redis, p50",
            "Half of the events are readable in Redis within this time of their Kafka timestamp. Good: below 20 ms.",
            Query(quantile(0.5, latency)), "s", Bounds(0.05, 0.25), alerts=BURNS,
        ),
        number(
            "Event to Redis, p99",
            "99 of 100 events are readable in Redis within this time. Good: below 100 ms; above 250 ms the objective is"
            " missed.",
            Query(quantile(0.99, latency)), "s", Bounds(0.1, 0.25), alerts=BURNS,
        ),
        number(
            "Late events, last hour",
            "Share of the events that took longer than 250 ms. The objective allows 1 % over 30 days; 14.4 % for an"
            " hour wakes somebody.",
            Query(f"max(job:interest_events_late:ratio_rate1h{{{OF_JOB}}})"), "percentunit", Bounds(0.01, 0.06),
            alerts=BURNS,
        ),
        number(
            "Budget of three days left",
            "What is left of the late events that three days may have (1 %). Below zero the objective is missed if it"
            " goes on like this; -100 % is that or worse.",
            Query(f"clamp_min(1 - max(job:interest_events_late:ratio_rate3d{{{OF_JOB}}}) / 0.01, -1)"), "percentunit",
            Bounds(0.5, 0, falling=True), alerts=BURNS,
        ),
        number(
            "Behind by",
            "How long what waits in Kafka takes at the present pace. Good: below a second.",
            Query(f"max(job:interest_lag:seconds{{{OF_JOB}}})"), "s", Bounds(10, 60), alerts=("InterestLagGrows",),
        ),
        number(
            "Model age",
            "Since the oldest model in use was made. Good with a trainer and traffic: a minute or two.",
            Query(f"max(interest_model_age_seconds{{{CHOSEN}}})"), "s", Bounds(1800, 7200),
            alerts=("InterestModelOld",),
        ),
        series(
            "Event to Redis",
            "From an event's Kafka timestamp until its user's interests are readable in Redis. The dashed lines are 100"
            " and 250 ms, the latter the objective's bound.",
            quantiles(latency), "s", 12, Bounds(0.1, 0.25), logarithmic=True, alerts=BURNS,
        ),
        series(
            "Share of late events",
            "Later than 250 ms, over windows of the burn-rate alerts. The dashed lines are the objective (1 %) and"
            " the fastest burn that is let pass for an hour (14.4 %).",
            [
                Query(f"max(job:interest_events_late:ratio_rate{window}{{{OF_JOB}}})", window)
                for window in ("5m", "1h", "6h", "3d")
            ],
            "percentunit", 12, Bounds(0.01, 0.144), alerts=BURNS,
        ),
    ]  # fmt: skip


def _right() -> list[Builder]:
    rank = "interest_trainer_held_out_reciprocal_rank"
    return [
        number(
            "Bad events",
            "Share of the events that are sent to dead letters. Good: none; from 1 % on a producer is to be mended.",
            Query(f"max(job:interest_events_dead_lettered:ratio_rate5m{{{OF_JOB}}})"), "percentunit",
            Bounds(0.001, 0.01), alerts=("InterestDeadLetterShare", "InterestDeadLetterFlood"),
        ),
        number(
            "Held-out reciprocal rank",
            "How well the served version ranks clicks of the last hour that were never learnt from; 1 is perfect. Good:"
            " as high as last week.",
            Query(f'max({rank}{{version="served"}})'), decimals=3,
        ),
        number(
            "Redis losses, a day",
            "Times Redis was found empty or replaced. Good: none; after one, interest rebuild-redis.",
            Query(increase("interest_redis_losses_total", "1d")), bounds=Bounds(0.5, 1), decimals=0,
            alerts=("InterestRedisLost",),
        ),
        number(
            "Versions refused, a day",
            "Model versions that workers did not take up. Good: none.",
            Query(increase("interest_model_refused_total", "1d")), bounds=Bounds(0.5, 1), decimals=0,
            alerts=("InterestModelRefused", "InterestModelStoreUnreachable"),
        ),
        number(
            "Foreign writes, a day",
            "Times that somebody else had written into a changelog partition, and it was written again. Good: none;"
            " one after a worker was frozen.",
            Query(increase("interest_foreign_writes_total", "1d")), bounds=Bounds(1, 3), decimals=0,
            alerts=("InterestForeignWrites",),
        ),
        number(
            "Workers that serve",
            "Workers of the generation that readers are told to read. Good: all, or those of one of two generations.",
            Query(total("interest_serving")), bounds=Bounds(1, 1, falling=True), decimals=0,
            alerts=("InterestNobodyServes",),
        ),
        series(
            "Events by outcome",
            "applied; replayed after a restart, known by their offset; duplicate, a producer's retry; forgotten, older"
            " than an erasure; superseded by a later rating or follow; dead_lettered. Good: nearly all are applied.",
            Query(rate("interest_events_total", "outcome"), "{{outcome}}"), "cps", 12, stacked=True,
        ),
        listing(
            "Alerts that fire",
            "Each has a section in the runbook. Good: none.",
            Query(ALERTS), 12,
        ),
    ]  # fmt: skip


def _keeping_up() -> list[Builder]:
    return [
        series(
            "Events taken in, by kind",
            "Events a second that workers have read and dealt with.",
            Query(rate("interest_events_total", "kind"), "{{kind}}"), "cps", stacked=True,
        ),
        series(
            "Events that wait in Kafka",
            "After the committed offset, by topic. Good: some hundreds, going up and down; growing steadily is too few"
            " workers, or something that holds them up.",
            Query(total("interest_lag_events", "topic"), "{{topic}}"), alerts=("InterestLagGrows",),
        ),
        states(
            "Workers",
            "Ready: recovered and consuming. Good: all of them, all the time, but for some seconds after a start.",
            Query(f"interest_ready{{{CHOSEN}}}", "{{instance}}"), [("not ready", RED), ("ready", GREEN)],
        ),
        series(
            "CPU",
            "Cores that a worker uses. Near one for long, with events waiting: add workers.",
            Query(f"rate(process_cpu_seconds_total{{{CHOSEN}}}[$__rate_interval])", "{{instance}}"), "short",
        ),
        series(
            "Memory",
            "Resident, and what of it are states of users. The rest stays the same once a worker is warm.",
            [
                Query(f"process_resident_memory_bytes{{{CHOSEN}}}", "{{instance}} resident"),
                Query(f"interest_state_bytes{{{CHOSEN}}}", "{{instance}} states"),
            ],
            "bytes", alerts=("InterestMemoryUnexplained",),
        ),
        series(
            "Users held",
            "Users whose states are in memory, by worker. Good: about as many in each.",
            Query(total("interest_users", "instance"), "{{instance}}"),
        ),
    ]  # fmt: skip
