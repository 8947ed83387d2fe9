"""`interest demo`."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer

from stream_app.commands.data import FieldOption, KindOption
from stream_app.commands.options import (
    ConfigOption,
    JsonOption,
    KafkaOption,
    ModelsOption,
    PartitionsOption,
    RedisOption,
    settings_of,
)
from stream_app.commands.output import FINDING, err, out, print_json

RATE = 2000.0


def demo(
    events: Annotated[
        int | None, typer.Option(min=1, help="End after so many events, once all are accounted for; all without it.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0, help="Events a second; 0 is as fast as possible.", show_default="2000; of a scenario its own"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Folder of a data set, or FILE.jsonl of your events; MovieLens 100K without it."
        ),
    ] = None,
    field: FieldOption = None,
    kind: KindOption = None,
    scenario: Annotated[
        Literal["shop", "social", "news"] | None,
        typer.Option(help="A made-up world with its own settings, items that come and go, and figures of its own."),
    ] = None,
    web: Annotated[
        bool, typer.Option("--web/--no-web", help="Whether to serve the page, at port 9180 or a free one.")
    ] = True,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    models: ModelsOption = None,
    partitions: PartitionsOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """See it work: real Kafka, real Redis, a trained model, a worker, real data, and one user's interests as they move.

    The page that it is shown on (and whose address it prints) is that of `interest web`, and ends with the demo.
    Servers are started on this machine unless you name yours, and end with the demo. On yours it uses topics and a
    group of its own (demo.*). Of a data set follows are simulated, since no public one has their times; of a file its
    own lines are sent. Where the model that is served is of other data, the demo trains one in a folder of its own.
    Exits with 0 only if every event was applied, skipped as a duplicate or dead-lettered.

    A scenario is synthetic: users whose tastes drift, items with titles, creators and topics, all drawn from a seed. It
    has a settings file (`stream_app/scenarios/*.toml`), in whose place --config puts yours, trains its own model, and
    runs the catalogue service beside the worker.

    Examples:

    - `interest demo`
    - `interest demo --scenario news --events 20000`
    - `interest demo --events 20000`
    - `interest demo --data log.jsonl --field user_id=uid --field item_id=product --field ts=time`
    - `interest demo --kafka kafka:9092 --redis redis://redis:6379/0 --data ./movietweetings`
    """
    if scenario and data:
        raise typer.BadParameter("a scenario has its own data", param_hint="--data")
    if data and not data.exists():
        raise typer.BadParameter(f"{data} is neither a folder nor a file", param_hint="--data")
    signal.signal(signal.SIGTERM, _terminate)
    from stream_app.commands.data import fetched_ml_100k
    from stream_app.demo.run import Plan, run
    from stream_app.demo.stage import Servers
    from stream_app.event_files import shape_of

    servers, console = Servers(kafka, redis), err if as_json else out
    if scenario:
        from stream_app.demo.scenario import ScenarioPlan, run_scenario
        from stream_app.scenarios.known import SCENARIOS

        chosen = SCENARIOS[scenario]
        settings = settings_of(
            kafka=kafka, redis=redis, models=models, partitions=partitions, config=config or chosen.settings_file
        )
        account = run_scenario(ScenarioPlan(chosen, events, rate, servers, web), settings, console)
    else:
        settings = settings_of(kafka=kafka, redis=redis, models=models, partitions=partitions, config=config)
        folder = data or fetched_ml_100k(settings.data_dir)
        plan = Plan(folder, events, RATE if rate is None else rate, servers, web, shape_of(field or [], kind))
        account = run(plan, settings, console)
    if as_json:
        print_json(account.document())
    else:
        out.print(account.table())
    raise typer.Exit(0 if account.complete else FINDING)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that servers and worker end in order."""
    sys.exit(128 + signal.SIGTERM)
