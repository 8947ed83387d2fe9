"""Which model is in use, since when it is what it is, and whether it gets better or worse."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.parts import (
    CHOSEN,
    Bounds,
    Builder,
    Query,
    Row,
    board,
    increase,
    listing,
    number,
    quantile,
    rate,
    series,
)

RANK = "interest_trainer_held_out_reciprocal_rank"
SERVED, CANDIDATE = f'{RANK}{{version="served"}}', f'{RANK}{{version="candidate"}}'
ANY = ""
"""There is one trainer; readers choose workers."""


def built() -> Dashboard:
    return board(
        "model",
        "Interest updater: model",
        "Versions in use and their age, quality on clicks that were never learnt from, and how the trainer does.",
        [Row("In use", _in_use()), Row("How good it is", _quality()), Row("The trainer", _trainer())],
        of="interest_ready",
    )


def _in_use() -> list[Builder]:
    return [
        number(
            "Age, oldest in use",
            "Since the model was made that a worker reads out with. Good with a trainer and traffic: a minute or two.",
            Query(f"max(interest_model_age_seconds{{{CHOSEN}}})"), "s", Bounds(1800, 7200),
            alerts=("InterestModelOld",),
        ),
        number(
            "Versions in use",
            "Good: one, two for some seconds after a promotion; more for long are workers that do not take one up.",
            Query(f"count(count by (version) (interest_model_info{{{CHOSEN}}}))"), decimals=0,
        ),
        number(
            "Since the last promotion",
            "The trainer promotes a version a minute while it learns. 'no data' means that it has promoted none.",
            Query("time() - max(interest_trainer_promoted_timestamp_seconds > 0)"), "s", Bounds(600, 1800),
            alerts=("InterestTrainerNotPromoting",),
        ),
        number(
            "Versions promoted, last hour",
            "Good: about 60 where there are clicks.",
            Query(increase("interest_trainer_versions_total", "1h", chosen=ANY, where='outcome="promoted"')),
            decimals=0,
        ),
        number(
            "Versions not promoted, last hour",
            "Refused by the guard, held back after somebody's own promotion, or failed for the store. Good: none.",
            Query(increase("interest_trainer_versions_total", "1h", chosen=ANY, where='outcome!="promoted"')),
            bounds=Bounds(1, 10), decimals=0, alerts=("InterestTrainerNotPromoting",),
        ),
        number(
            "Versions refused by workers, last hour",
            "They stay with the one before. Good: none.",
            Query(increase("interest_model_refused_total", "1h")), bounds=Bounds(0.5, 1), decimals=0,
            alerts=("InterestModelRefused", "InterestModelStoreUnreachable"),
        ),
        series(
            "Age of the model",
            "Saw teeth of the length of the publication interval. A line that rises is a worker that takes up nothing.",
            Query(f"interest_model_age_seconds{{{CHOSEN}}}", "{{instance}}"), "s", 8, alerts=("InterestModelOld",),
        ),
        series(
            "Taken up and refused",
            "Versions a worker took up while it ran, and those it did not, by reason: generation, of other states;"
            " damaged; not_finite; unreachable, each time that the store did not answer.",
            [
                Query(increase("interest_model_swaps_total", "5m"), "taken up"),
                Query(increase("interest_model_refused_total", "5m", "reason"), "refused: {{reason}}"),
            ],
            alerts=("InterestModelRefused", "InterestModelStoreUnreachable"),
        ),
        listing(
            "Versions",
            "What each worker reads out with. Good: the same everywhere, but for some seconds.",
            Query(f"interest_model_info{{{CHOSEN}}}"),
        ),
    ]  # fmt: skip


def _quality() -> list[Builder]:
    return [
        series(
            "Held-out reciprocal rank",
            "Mean over the clicks of the last hour that are never learnt from (5 %): of the candidate, and of the"
            " version that was served then. Good: the candidate at or above the served one; both as high as last week.",
            [Query(CANDIDATE, "candidate"), Query(SERVED, "served")],
        ),
        series(
            "What a fresh version gains",
            "Candidate minus served, of a minute. Good: near 0 or above. The guard refuses what is worse by more than"
            " two standard errors.",
            Query(f"max({CANDIDATE}) - max({SERVED})", "candidate minus served"),
        ),
        series(
            "Drift",
            "The served version's rank now, as a share of the mean of a day. Good: about 1. Well below it the stream"
            " has changed, or what is learnt from it is bad.",
            Query(f"max({SERVED}) / max(avg_over_time({SERVED}[1d]))", "now / mean of a day"), "percentunit",
            bounds=Bounds(0.8, 0.6, falling=True),
        ),
        series(
            "Loss",
            "Cross-entropy of the last round's clicks before they were learnt. It rises with the number of items; good"
            " is flat or falling.",
            Query("interest_trainer_loss", "{{instance}}"),
        ),
        series(
            "Versions by outcome",
            "A minute. promoted; refused by the guard; held_back, while somebody else's version is served; failed,"
            " where the store did not take it.",
            Query(f"60 * {rate('interest_trainer_versions_total', 'outcome', ANY)}", "{{outcome}}"), stacked=True,
            alerts=("InterestTrainerNotPromoting",),
        ),
        series(
            "Clicks by use",
            "learnt; counted, where there were too many to learn from; held_out to judge by. Good: nearly none"
            " counted.",
            Query(rate("interest_trainer_clicks_total", "use", ANY), "{{use}}"), "cps", stacked=True,
        ),
    ]  # fmt: skip


def _trainer() -> list[Builder]:
    return [
        series(
            "Events that the trainer has still to read",
            "Above INTEREST_TRAINER__PUBLISH_LAG_EVENTS (10,000) nothing is published. Good: near 0.",
            Query("sum by (topic) (interest_trainer_lag_events)", "{{topic}}"),
            alerts=("InterestTrainerNotPromoting",),
        ),
        series(
            "Stages of a round, p99",
            "hear: what the catalogue tells; observe: states; learn; publish, once a minute; snapshot, once in five.",
            Query(quantile(0.99, "interest_trainer_stage_seconds", "stage", ANY), "{{stage}}"), "s",
        ),
        series(
            "Time spent, by stage",
            "Seconds a second; all in one thread. Near 1 in sum it is at its limit, and counts clicks without"
            " learning.",
            Query(rate("interest_trainer_stage_seconds_sum", "stage", ANY), "{{stage}}"), stacked=True,
        ),
        series(
            "Records read",
            "From the event topics, bad ones among them. Good: as many as workers take in.",
            Query(rate("interest_trainer_records_total", chosen=ANY), "records"), "cps",
        ),
        series(
            "Users and items known",
            "Users whose states are held, items met.",
            [
                Query("sum(interest_trainer_users)", "users"),
                Query("sum(interest_trainer_items)", "items"),
            ],
        ),
        series(
            "Published to the store",
            "Bytes a second: whole versions, one in thirty, and differences from them.",
            Query(rate("interest_trainer_published_bytes_total", "how", ANY), "{{how}}"), "Bps", stacked=True,
        ),
        number(
            "Since the last snapshot",
            "What a crash would have to learn again. Good: below five minutes. 'no data' means that none was taken.",
            Query("time() - max(interest_trainer_snapshot_timestamp_seconds > 0)"), "s", Bounds(600, 1800), width=8,
        ),
    ]  # fmt: skip
