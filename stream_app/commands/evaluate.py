"""`interest evaluate`."""

from typing import Annotated

import typer

from stream_app.commands.data import ML_100K, load_data
from stream_app.commands.options import ConfigOption, JsonOption, ModelsOption, settings_of
from stream_app.commands.output import err, out, print_json
from stream_app.commands.quiet import native_messages_hidden
from stream_app.commands.serving import served_model, version_folder


def evaluate(
    data: Annotated[str, typer.Option(metavar="FOLDER", help="Folder of a data set; ml-100k is fetched.")] = ML_100K,
    name: Annotated[str | None, typer.Option(help="Which data set, where the folder holds several.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the model; the served one without it.")] = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Ask for the second last item instead: for choices, not for reports.")
    ] = False,
    models: ModelsOption = None,
    config: ConfigOption = None,
    rivals: Annotated[
        bool, typer.Option("--rivals", help="Train BPR, NCF, GRU4Rec and SASRec, too, as long as the model.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """How well does a model rank what each user did last? Beside popularity, of late too, and item transitions.

    All users, all items, seen ones left out, ties against the method; the states are built event by event, as the
    stream does. Leave-one-out: the model must not have been trained on the last two items of a user, and `interest
    train` never is.

    Examples:

    - `interest evaluate`
    - `interest evaluate --rivals`
    - `interest evaluate --data ./movietweetings --name movietweetings-10k --json`
    """
    settings = settings_of(models=models, config=config)
    interactions = load_data(data, name, settings.data_dir)
    err.print(f"[dim]{interactions.name}: {interactions.terms}[/]", soft_wrap=True)
    folder = version_folder(settings, version) if version else served_model(settings)
    with native_messages_hidden():
        from model_store.encoder.runtime import use_threads
        from model_store.model import load_model
        from model_store.training import report
        from model_store.training.evaluate import evaluate as evaluated
        from model_store.training.publish import trained_rivals

    use_threads(threads)
    others = trained_rivals(interactions, int(validation), err) if rivals else {}
    rows = evaluated(load_model(folder), interactions, int(validation), others)
    if as_json:
        print_json(report.document(interactions, rows))
        return
    out.print(report.table(interactions, rows))
    out.print(report.cutoffs_table(rows))
    out.print(report.groups_table("by length of the history", rows, lambda row: row.by_length))
    out.print(report.groups_table("by popularity of the item", rows, lambda row: row.by_popularity))
