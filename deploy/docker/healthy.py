"""Asks a page of this container, and ends with 0 if it answers 200: `healthy 9108/readyz`.

The image has neither curl nor wget, and needs none.
"""

import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 4.0


def main(place: str) -> int:
    port, _, page = place.partition("/")
    connection = HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"/{page}")
        answer = connection.getresponse()
        says = answer.read(4096).decode(errors="replace")
    except (OSError, HTTPException) as error:
        answer, says = None, str(error)
    finally:
        connection.close()
    sys.stdout.write(says.rstrip("\n") + "\n")
    return 0 if answer is not None and answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
