"""`interest evaluate --prequential` and `--freshness`."""

from pathlib import Path
from typing import TYPE_CHECKING

from stream_app.commands.errors import CommandError
from stream_app.commands.output import err, out, print_json
from stream_app.commands.quiet import native_messages_hidden

if TYPE_CHECKING:
    from model_store.training.interactions import Interactions


def evaluate_stream(
    data: "Interactions", *, freshness: bool, seed: int, threads: int, plots: Path | None, as_json: bool
) -> None:
    """One pass over `data` in order of time, with a table or JSON, and a picture of the freshness curve in `plots`.

    Raises `CommandError` where the set has no times.
    """
    if data.times == "synthetic":
        raise CommandError(f"the times of {data.name} are made up here: a stream needs a set with times of its own")
    with native_messages_hidden():
        from model_store.encoder.runtime import use_threads
        from model_store.training.online import told
        from model_store.training.online.halves import FRESH, FRESHNESS, freshness_curve, methods
        from model_store.training.online.prequential import RECENT_POPULARITY, TRANSITIONS

    use_threads(threads)
    found = told.second_half_with_progress(data, seed, FRESHNESS if freshness else FRESH, err).rankings()
    curve = freshness_curve(found) if freshness else {}
    if plots is not None and curve:
        from model_store.training.plots import freshness as drawn
        from model_store.training.plots import write

        rivals = {name: found[name].hit_rate_10 for name in (RECENT_POPULARITY, TRANSITIONS)}
        for path in write(plots, {"freshness.svg": drawn(data.name, told.hit_rates(curve), rivals)}):
            err.print(f"[dim]{path}[/]", soft_wrap=True)
    if as_json:
        print_json(told.stream_document(data, seed, methods(found), curve))
        return
    out.print(told.stream_table(data, methods(found)))
    if curve:
        out.print(told.freshness_table(curve))
