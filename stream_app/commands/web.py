"""`interest web`."""

from typing import Annotated

import typer

from stream_app.commands.errors import CommandError
from stream_app.commands.options import ConfigOption, JsonLogsOption, LogLevelOption, RedisOption, settings_of


def web(
    redis: RedisOption = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen at; beyond loopback INTEREST_WEB__TOKEN must be set.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = None,
    config: ConfigOption = None,
    log_level: LogLevelOption = None,
    json_logs: JsonLogsOption = False,
) -> None:
    """Serve the live page of users' interests and of the system, and explanations in words, from what Redis holds.

    The page shows a user's topics, dimensions, windows and recommendations as they move, a map of items, and what
    INTEREST_WEB__METRICS_URLS (a JSON list; a worker's default port without it) tell of the system. What would change
    if is computed from the clicks that reasons name, or with INTEREST_WEB__WHAT_IF=changelog from the user's own state.

    `GET /users/{id}/explanation` answers in English or Chinese, as `Accept-Language` says; `/healthz`, `/metrics`.
    With INTEREST_WORDS__MODEL a language model does the wording, within limits; without one, and where it gives nothing
    fit in time, a template.

    Examples:

    - `interest web --redis redis://redis:6379/0`
    - `INTEREST_WEB__METRICS_URLS='["http://worker:9108/metrics"]' interest web`
    - `curl -H 'Accept-Language: zh' localhost:9180/users/u42/explanation`
    """
    settings = settings_of(
        redis=redis,
        config=config,
        web={"host": host, "port": port},
        log={"level": log_level, "json_lines": json_logs or None},
    )
    from stream_app import logs
    from stream_app.signals import process_name
    from stream_app.web.start import run_web

    logs.configure(settings.log, worker=process_name())
    try:
        run_web(settings)
    except OSError as problem:
        raise CommandError(
            f"cannot listen at {settings.web.host}:{settings.web.port} ({problem.strerror or problem}): take another "
            "address with --host and --port"
        ) from problem
