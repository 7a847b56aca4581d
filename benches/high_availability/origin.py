#!/usr/bin/env python3
"""Small HTTP servers, as those behind the hosts, until standard input ends."""

import asyncio
import os
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nserved\n"


async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        pass
    finally:
        writer.close()


async def main(addresses):
    for address in addresses:
        name, port = address.split(":")
        await asyncio.start_server(serve, name, int(port), backlog=1024)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # what is open ends with it


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
