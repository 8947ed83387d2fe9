"""Items that are understood before anybody has clicked them, what that costs, and the pages that tell of interests."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.parts import (
    CHOSEN,
    Bounds,
    Builder,
    Query,
    Row,
    board,
    increase,
    number,
    quantile,
    quantiles,
    rate,
    series,
)

ANY = ""
"""Workers and pages beside the service that readers choose."""


def built() -> Dashboard:
    return board(
        "catalogue",
        "Interest updater: catalogue and pages",
        "Items and what they wait for, the encoder, the language model and its budget, and the pages.",
        [
            Row("Items", _items()),
            Row("The language model of the catalogue", _language_model()),
            Row("Pages and explanations", _pages()),
        ],
        of="interest_catalog_lag_items",
    )


def _items() -> list[Builder]:
    stages = "interest_catalog_stage_seconds"
    describe = f'{stages}_sum{{{CHOSEN},stage="describe"}}'
    described = f'interest_catalog_items_total{{{CHOSEN},outcome="described"}}'
    return [
        number(
            "Items known",
            "Items that the catalogue tells of, deleted ones left out. Good: the same everywhere.",
            Query("max(interest_catalogue_items)"), decimals=0,
        ),
        number(
            "Waiting",
            "Words on items that are still to be read or described. Good: near 0; deletions never wait.",
            Query(f"sum(interest_catalog_lag_items{{{CHOSEN}}})"), decimals=0, alerts=("InterestCatalogBacklog",),
        ),
        number(
            "Described, last hour",
            "New texts that were understood.",
            Query(increase("interest_catalog_items_total", "1h", where='outcome="described"')), decimals=0,
        ),
        number(
            "Time for a text",
            "That describing takes, of one item in its batch: the encoder and, where one is set, the language model.",
            Query(f"sum(increase({describe}[1h])) / sum(increase({described}[1h]))"), "s",
        ),
        number(
            "Foreign vectors, a day",
            "Words of another encoder than the model's, which say nothing. Good: none.",
            Query(increase("interest_knowledge_unused_total", "1d", chosen=ANY, where='reason="foreign"')),
            bounds=Bounds(1, 1), decimals=0, alerts=("InterestKnowledgeForeign",),
        ),
        number(
            "Texts refused by the encoder, a day",
            "Items without a vector. Good: none.",
            Query(increase("interest_catalog_refused_texts_total", "1d")), bounds=Bounds(1, 100), decimals=0,
        ),
        series(
            "Words on items, by what they changed",
            "described: of a new text; updated: the rest; known: nothing; deleted; dead_lettered: no valid item.",
            Query(rate("interest_catalog_items_total", "outcome"), "{{outcome}}"), "ops", stacked=True,
        ),
        series(
            "Waiting",
            "By process. Good: back at 0 soon after a delivery; flat above it, nothing moves.",
            Query(f"interest_catalog_lag_items{{{CHOSEN}}}", "{{instance}}"), alerts=("InterestCatalogBacklog",),
        ),
        series(
            "Stages of a batch, p99",
            "describe: encoder and language model, two seconds' worth at a time; publish: Kafka; redis; place: where"
            " the served model has the items.",
            Query(quantile(0.99, stages, "stage"), "{{stage}}"), "s",
        ),
        series(
            "Who says what items are about",
            "tags, nearest (the encoder), or the language model's name.",
            Query(rate("interest_catalog_annotations_total", "source"), "{{source}}"), "ops", stacked=True,
        ),
        series(
            "Tried again",
            "What did not answer: encoder, kafka, redis. Good: none.",
            Query(rate("interest_catalog_retries_total", "what"), "{{what}}"),
            "ops", alerts=("InterestCatalogBacklog",),
        ),
        series(
            "Vectors of the served model put into Redis",
            "After each new version, of the items that have moved.",
            Query(rate("interest_catalog_placed_items_total"), "items"), "ops",
        ),
    ]  # fmt: skip


def _language_model() -> list[Builder]:
    requests, tokens = "interest_catalog_model_requests_total", "interest_catalog_model_tokens_total"
    return [
        series(
            "Requests, last hour",
            "Against INTEREST_CATALOG__ANNOTATOR__REQUESTS_PER_HOUR (1,000 unless set otherwise).",
            Query(increase(requests, "1h", "outcome"), "{{outcome}}"), stacked=True,
            alerts=("InterestLanguageModelBudgetSpent",),
        ),
        series(
            "Tokens, last hour",
            "Against INTEREST_CATALOG__ANNOTATOR__TOKENS_PER_HOUR (2,000,000 unless set otherwise); what is paid for.",
            Query(increase(tokens, "1h", "direction"), "{{direction}}"), stacked=True,
            alerts=("InterestLanguageModelBudgetSpent",),
        ),
        series(
            "One request",
            "Good: far below INTEREST_CATALOG__ANNOTATOR__TIMEOUT_S (30).",
            quantiles("interest_catalog_model_seconds"), "s", alerts=("InterestLanguageModelUnavailable",),
        ),
        series(
            "Answers that cost nothing",
            "Share of the answers looked up that were there. Near 1 when a catalogue is delivered again.",
            Query(
                f"{rate('interest_catalog_cache_lookups_total', where=_HIT)}"
                f" / {rate('interest_catalog_cache_lookups_total')}",
                "remembered",
            ),
            "percentunit",
        ),
        series(
            "Answers that another gave",
            "Tags or the encoder in the model's place, by why: budget, breaker, unavailable, refused, misconfigured,"
            " store. Good: none.",
            Query(rate("interest_catalog_fallbacks_total", "why"), "{{why}}"), "ops", stacked=True,
            alerts=("InterestLanguageModelUnavailable", "InterestLanguageModelBudgetSpent"),
        ),
        series(
            "Answers that were not believed",
            "By what was wrong with them. Some are normal with a small model; many of one reason are an attack in item"
            " texts, or another model behind the address.",
            Query(rate("interest_catalog_unfit_answers_total", "reason"), "{{reason}}"), "ops", stacked=True,
        ),
    ]  # fmt: skip


_HIT = 'found="hit"'


def _pages() -> list[Builder]:
    lookups = "interest_words_cache_lookups_total"
    return [
        series(
            "Requests by outcome",
            "Of all pages. Good: answered, and unknown_user for those who have had no event.",
            Query(rate("interest_web_requests_total", "outcome", ANY), "{{outcome}}"), "reqps", stacked=True,
            alerts=("InterestWebFailing",),
        ),
        series(
            "Time to the answer, p99",
            "By page. An explanation that a language model words takes up to INTEREST_WORDS__ANSWER_S (10).",
            Query(quantile(0.99, "interest_web_seconds", "page", ANY), "{{page}}"), "s",
        ),
        series(
            "Explanations",
            "By whom they were worded, and how many are being made; at INTEREST_WEB__AT_ONCE (64) more are sent away.",
            [
                Query(rate("interest_words_explanations_total", "made_by", ANY), "{{made_by}} a second"),
                Query("sum(interest_web_at_once)", "being made"),
            ],
            alerts=("InterestWebFailing",),
        ),
        series(
            "The wording model: requests and tokens, last hour",
            "Against INTEREST_WORDS__REQUESTS_PER_HOUR and ..__TOKENS_PER_HOUR.",
            [
                Query(increase("interest_words_model_requests_total", "1h", "outcome", ANY), "requests {{outcome}}"),
                Query(increase("interest_words_model_tokens_total", "1h", "direction", ANY), "tokens {{direction}}"),
            ],
            alerts=("InterestLanguageModelBudgetSpent",),
        ),
        series(
            "The wording model: one request",
            "Good: below INTEREST_WORDS__TIMEOUT_S (8).",
            quantiles("interest_words_model_seconds", ANY), "s", alerts=("InterestLanguageModelUnavailable",),
        ),
        series(
            "Why the template stood in",
            "budget, breaker, busy, late, misconfigured, no_facts, refused, store, unavailable; and answers that were"
            " not believed, by reason; and the share of the texts that were remembered.",
            [
                Query(rate("interest_words_fallbacks_total", "why", ANY), "template: {{why}}"),
                Query(rate("interest_words_unfit_answers_total", "reason", ANY), "not believed: {{reason}}"),
                Query(f"{rate(lookups, chosen=ANY, where=_HIT)} / {rate(lookups, chosen=ANY)}", "remembered"),
            ],
            alerts=("InterestLanguageModelUnavailable",),
        ),
    ]  # fmt: skip
