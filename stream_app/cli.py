"""The `interest` command.

Exit codes: 0 it is done and right; 1 a check found something, or what was asked could not be done; 2 the command line
or the settings are wrong; 70 a worker stopped itself because going on would have lost data.
"""

import sys
import traceback

import typer

from stream_app.commands import (
    bench,
    catalog,
    check_events,
    contracts,
    demo,
    doctor,
    evaluate,
    explain,
    generations,
    local,
    models,
    offsets,
    rebuild_redis,
    replay,
    settings,
    show,
    taxonomy,
    topics,
    train,
    trainer,
    web,
    worker,
)
from stream_app.commands.errors import explain as explained_error
from stream_app.commands.output import FINDING, OK, print_error
from stream_app.masking import hidden

app = typer.Typer(
    name="interest",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Real-time user interests: Kafka events in, interest vectors in Redis and recommendations out.\n\n"
        "Every option can also be set by environment (INTEREST_KAFKA__BOOTSTRAP, ...) or file (INTEREST_CONFIG).\n\n"
        "Exit codes: 0 done, 1 something is wrong, 2 wrong usage or settings, 70 a worker stopped itself."
    ),
)
app.command(rich_help_panel="Start here")(demo.demo)
app.command(rich_help_panel="Start here")(doctor.doctor)
app.command(rich_help_panel="Start here")(local.local)
app.command(rich_help_panel="Start here")(settings.settings)
app.command(rich_help_panel="Run")(worker.worker)
app.command(rich_help_panel="Run")(trainer.trainer)
app.command(rich_help_panel="Run")(catalog.catalog)
app.command(rich_help_panel="Run")(web.web)
app.add_typer(topics.app, name="topics", rich_help_panel="Run")
app.add_typer(offsets.app, name="offsets", rich_help_panel="Run")
app.command(rich_help_panel="Run")(replay.replay)
app.command("rebuild-redis", rich_help_panel="Run")(rebuild_redis.rebuild_redis)
app.command("check-events", rich_help_panel="Look")(check_events.check_events)
app.command(rich_help_panel="Look")(contracts.contracts)
app.command(rich_help_panel="Look")(show.show)
app.command(rich_help_panel="Look")(explain.explain)
app.command(rich_help_panel="Look", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    bench.bench
)
app.command(rich_help_panel="Models")(taxonomy.taxonomy)
app.command(rich_help_panel="Models")(train.train)
app.command(rich_help_panel="Models")(evaluate.evaluate)
app.add_typer(models.app, name="models", rich_help_panel="Models")
app.add_typer(generations.app, name="generations", rich_help_panel="Models")


def main() -> None:
    """Entry point: runs a command, explains errors that a person can mend, and shows the traceback of all others."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`).
        sys.stderr.close()
        sys.exit(OK)
    except Exception as problem:
        explained = explained_error(problem)
        if explained is None:
            sys.stderr.write(hidden(traceback.format_exc()))
            sys.exit(FINDING)
        message, code = explained
        print_error(message)
        sys.exit(code)
