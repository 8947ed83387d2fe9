"""The same without waiting: python read_async.py redis://localhost:6379/0"""

import asyncio
import sys

from stream_app.client import AsyncInterestReader


async def main(url: str) -> None:
    async with AsyncInterestReader(url, socket_timeout=0.5) as reader:
        one, several = await asyncio.gather(reader.get("u42"), reader.get_many(["u43", "u44"]))
        print(one and one.topics, len(several))


asyncio.run(main(sys.argv[1]))
