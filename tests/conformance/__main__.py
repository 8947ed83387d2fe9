"""Writes what readers in every language are tested by; see `worlds`."""

import tempfile
from pathlib import Path

from stream_app.local import LocalValkey
from tests.conformance.worlds import FILE, document, written


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, LocalValkey(Path(folder) / "valkey") as server:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(written(document(server.url)))


if __name__ == "__main__":
    main()
