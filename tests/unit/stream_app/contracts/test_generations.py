"""Names of a generation, and who publishes around a switch."""

from stream_app.contracts import generations
from stream_app.contracts.generations import AT_FIRST, Serving, named, prefix_of
from stream_app.settings import load

HANDOVER_MS = 60_000


def test_the_first_generation_has_the_plain_names() -> None:
    kafka = load().kafka
    assert (kafka.consumer_group, kafka.changelog) == ("interest", "interest-state-changelog")
    assert (prefix_of(1), named("interest", 1)) == ("", "interest")


def test_later_generations_have_names_of_their_own() -> None:
    kafka = load(kafka={"group": "mine", "generation": 12}).kafka
    assert (kafka.group, kafka.consumer_group, kafka.changelog) == ("mine", "mine-g12", "mine-g12-state-changelog")
    assert prefix_of(12) == "g12:"


def test_what_is_written_is_read() -> None:
    serving = AT_FIRST.then(2, 1_000)
    assert generations.encode(serving) == b'{"generation":2,"prefix":"g2:","since":1000,"previous":1}'
    assert generations.decode(generations.encode(serving)) == serving


def test_before_any_switch_the_first_generation_alone_publishes() -> None:
    assert AT_FIRST.publishes(1, 0, HANDOVER_MS)
    assert not AT_FIRST.publishes(2, 0, HANDOVER_MS)


def test_after_a_switch_the_one_before_publishes_until_the_handover_is_over() -> None:
    serving = Serving(1, "", 0).then(2, 1_000)
    for now_ms in (999, 1_000, 1_000 + HANDOVER_MS - 1):
        assert serving.publishes(2, now_ms, HANDOVER_MS)
        assert serving.publishes(1, now_ms, HANDOVER_MS)
        assert not serving.publishes(3, now_ms, HANDOVER_MS)
    assert serving.publishes(2, 1_000 + HANDOVER_MS, HANDOVER_MS)
    assert not serving.publishes(1, 1_000 + HANDOVER_MS, HANDOVER_MS)


def test_back_and_forth() -> None:
    back = AT_FIRST.then(2, 1_000).then(1, 2_000)
    assert (back.generation, back.prefix, back.previous) == (1, "", 2)
    assert back.publishes(1, 90_000, HANDOVER_MS)
    assert not back.publishes(2, 90_000, HANDOVER_MS)
