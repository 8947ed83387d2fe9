"""`interest taxonomy`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from stream_app.commands.data import NameOption, SourceArgument, interactions_of
from stream_app.commands.errors import CommandError
from stream_app.commands.options import ConfigOption, settings_of
from stream_app.commands.output import out

if TYPE_CHECKING:
    from model_store.catalog.annotators.taxonomy import Taxonomy


def taxonomy(
    source: SourceArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it: TOML, for you to edit.")],
    name: NameOption = None,
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Propose the topics of a catalogue, as a file to edit: INTEREST_CATALOG__TAXONOMY=FILE then names it.

    A language model proposes them from a sample of the items, where INTEREST_CATALOG__ANNOTATOR__MODEL names one; else
    they are the commonest tags.

    Example: `interest taxonomy ./movietweetings topics.toml`
    """
    if file.exists() and not force:
        raise CommandError(f"{file} is there already, and may have been edited: name another, or --force")
    settings = settings_of(config=config)
    data = interactions_of(source, name, settings)
    from model_store.catalog.annotators.propose import propose
    from model_store.catalog.annotators.taxonomy import save
    from model_store.catalog.remote import Access
    from model_store.catalog.structured import StructuredChat
    from model_store.training.texts import texts_of

    of, texts = settings.catalog.annotator, texts_of(data)
    if of.model:
        with StructuredChat(Access(of.base_url, of.model, of.api_key.get_secret_value(), of.timeout_s)) as chat:
            proposed = propose(texts, chat)
    else:
        proposed = propose(texts, None)
    save(proposed, file)
    out.print(_table(proposed))
    out.print(f"{file}: edit it, then INTEREST_CATALOG__TAXONOMY={file} interest catalog", soft_wrap=True, markup=False)


def _table(proposed: "Taxonomy") -> Table:
    table = Table(title=f"{len(proposed.topics)} topics", title_justify="left", pad_edge=False)
    for column in ("topic", "what it is", "also called"):
        table.add_column(column)
    for topic in proposed.topics:
        table.add_row(topic.name, topic.description, ", ".join(topic.synonyms))
    return table
