"""Writes the dashboards: `make dashboards`, or python -m deploy.grafana [FOLDER]. A test compares."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import catalogue, kafka_redis, latency, model_board, overview

BOARDS = {
    "overview": overview,
    "latency": latency,
    "model": model_board,
    "catalogue": catalogue,
    "kafka-redis": kafka_redis,
}
FOLDER = Path(__file__).parent / "dashboards"


def written() -> dict[str, str]:
    """File name -> JSON."""
    return {f"{name}.json": _json(module.built().build()) for name, module in BOARDS.items()}


def _json(dashboard: object) -> str:
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in written().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
