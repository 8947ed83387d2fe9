"""`interest evaluate`."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from stream_app.commands.data import ML_100K, FieldOption, KindOption, NameOption, SourceArgument, interactions_of
from stream_app.commands.errors import CommandError
from stream_app.commands.options import ConfigOption, JsonOption, KafkaOption, ModelsOption, settings_of
from stream_app.commands.output import err, out, print_json
from stream_app.commands.prequential import evaluate_stream
from stream_app.commands.quiet import native_messages_hidden
from stream_app.commands.serving import served_model, version_folder


def evaluate(
    source: SourceArgument = ML_100K,
    name: NameOption = None,
    field: FieldOption = None,
    kind: KindOption = None,
    version: Annotated[str | None, typer.Option(help="Version of the model; the served one without it.")] = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Ask for the second last item instead: for choices, not for reports.")
    ] = False,
    kafka: KafkaOption = None,
    models: ModelsOption = None,
    config: ConfigOption = None,
    rivals: Annotated[
        bool, typer.Option("--rivals", help="Train BPR, NCF, GRU4Rec and SASRec, too, as long as the model.")
    ] = False,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Also without each part of the state, and by each facet alone.")
    ] = False,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write pictures there: quality, topics, a map of the items.")
    ] = None,
    prequential: Annotated[
        bool,
        typer.Option("--prequential", help="Follow the set in order of time: evaluate, then learn, click by click."),
    ] = False,
    freshness: Annotated[
        bool, typer.Option("--freshness", help="Likewise, with states, weights and counts of several ages, too.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of what is trained for --prequential and --freshness.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """How well does a model rank what each user did last? Beside popularity, of late too, and item transitions.

    All users, all items, seen ones left out, ties against the method; the states are built event by event, as the
    stream does. Leave-one-out: the model must not have been trained on the last two items of a user, and `interest
    train` never is.

    With `--prequential` a model is trained on the first 30 % of the interactions and follows the rest as the trainer
    follows a stream; each click of the second half is predicted before it is learnt from.

    Examples:

    - `interest evaluate`
    - `interest evaluate --rivals --ablation`
    - `interest evaluate --plots pictures`
    - `interest evaluate ./movietweetings --name movietweetings-10k --prequential --json`
    """
    stream = prequential or freshness
    if stream and (version or validation or rivals or ablation):
        raise typer.BadParameter("--prequential and --freshness train a model of their own, and evaluate that alone")
    if plots is not None and find_spec("matplotlib") is None:
        raise CommandError("--plots needs matplotlib: pip install 'interest-updater[plots]'")
    settings = settings_of(kafka=kafka, models=models, config=config)
    from stream_app.event_files import shape_of

    interactions = interactions_of(source, name, settings, shape_of(field or [], kind))
    if stream:
        evaluate_stream(interactions, freshness=freshness, seed=seed, threads=threads, plots=plots, as_json=as_json)
        return
    folder = version_folder(settings, version) if version else served_model(settings)
    with native_messages_hidden():
        from model_store.encoder.runtime import use_threads
        from model_store.model import load_model
        from model_store.training import report
        from model_store.training.ablation import ablation as ablated
        from model_store.training.calibration import calibrations
        from model_store.training.evaluate import evaluate as evaluated
        from model_store.training.publish import trained_rivals
        from model_store.training.recipes import recipe_for

    use_threads(threads)
    model, back = load_model(folder), int(validation)
    others = trained_rivals(interactions, recipe_for(interactions), back, err) if rivals else {}
    rows, topics = evaluated(model, interactions, back, others), calibrations(model, interactions, back)
    without = ablated(model, interactions, back) if ablation else ()
    if plots is not None:
        from model_store.training.plots import of_evaluation, write

        for path in write(plots, of_evaluation(model, interactions, rows, topics, _losses(folder))):
            err.print(f"[dim]{path}[/]", soft_wrap=True)
    if as_json:
        print_json(report.document(interactions, rows, topics, without))
        return
    for table in report.tables(interactions, rows, topics, without):
        out.print(table)


def _losses(folder: Path) -> Sequence[Mapping[str, float]]:
    """What training noted of its loss, epoch by epoch; nothing in a version whose training noted nothing."""
    from model_store.card import read_card

    losses = read_card(folder).made.get("loss_by_epoch", ())
    return [{"epoch": epoch, "loss": loss} for epoch, loss in enumerate(losses, 1)]
