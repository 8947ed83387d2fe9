"""A picture of what a command shows on a terminal while it lasts.

python -m tests.terminal_picture deploy/images/demo-terminal.png interest demo --scenario shop --no-web
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tests.pages import chromium
from tests.screenshots import shrink

COLUMNS, LINES = 112, 60
LIVE = re.compile(rb"(?:\r\x1b\[2K|\x1b\[1A\x1b\[2K)+")
"""What rich writes before it draws a live view again."""
CHUNK, LOOK_S = 65_536, 0.5


def main(
    file: Annotated[Path, typer.Argument(help="Where the picture goes.")],
    command: Annotated[list[str], typer.Argument(help="What is run, until the picture is taken.")],
    holding: Annotated[str, typer.Option(help="What must stand in the live view.")] = "Ctrl-C ends everything.",
    views: Annotated[int, typer.Option(help="Of so many that it stands in, the last is taken.")] = 60,
    within: Annotated[float, typer.Option(help="Seconds to wait for them.")] = 300.0,
) -> None:
    """Run the command on a terminal of its own, and take its picture."""
    shown = _seen(command, holding.encode(), views, within)
    console = Console(width=COLUMNS, record=True, file=StringIO(), color_system="truecolor")
    console.print(Text("$ " + " ".join(command), style="bold"))
    console.print(Text.from_ansi(shown))
    with chromium() as browser:
        page = browser.new_page(device_scale_factor=1)
        page.set_content(console.export_svg(title=command[0]))
        page.locator("svg").screenshot(path=file)
    shrink(file)
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")  # noqa: T201


def _seen(command: list[str], holding: bytes, views: int, within_s: float) -> str:
    """What stands on the terminal after so many live views. Raises TimeoutError, and OSError if it ends before."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    told = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=told, start_new_session=True)
    os.close(slave)
    try:
        return _view(master, holding, views, time.monotonic() + within_s)
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # it has more to say, and nobody else takes it
            while os.read(master, CHUNK):
                pass
        process.wait()
        os.close(master)


def _view(master: int, holding: bytes, views: int, deadline_s: float) -> str:
    written = b""
    while len(whole := [view for view in LIVE.split(written)[:-1] if holding in view]) < views:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{len(whole)} views in that time; the terminal shows:\n{written[-2_000:].decode()}")
        if select.select([master], [], [], LOOK_S)[0]:
            written += os.read(master, CHUNK)
    return whole[-1].decode().replace("\r\n", "\n")


if __name__ == "__main__":
    typer.run(main)
