"""Hold one part of the conversation with a gateway, in whichever client library this Python has: `converse.py PART PORT PID`.

Needs that library and nothing else; exits 1 at the first step that goes wrong, saying which.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import traceback

import steps

PARTS = {"trading": steps.TRADING, "visits": [steps.visits]}


def main(part: str, port: int, pid: int) -> int:
    if importlib.util.find_spec("ibapi"):
        from with_ibapi import Client
    else:
        from with_ib_insync import Client
    client = Client()
    client.connect(port, 1)
    talk = steps.Conversation(client, Client, port, pid)
    try:
        for step in PARTS[part]:
            began = time.perf_counter()
            try:
                step(talk)
                client.check()
            except Exception:
                print(f"{step.__name__} went wrong:\n{traceback.format_exc()}")
                return 1
            print(f"{step.__name__}: {time.perf_counter() - began:.2f} s")
    finally:
        client.disconnect()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
