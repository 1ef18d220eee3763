"""Links between machines as TCP proxies: what goes over one takes its time, in both directions, and now and then the
link stands still.

usage: slow_link.py      JSON lines on standard input, an answer to each on standard output

  {"latency_ms": 20, "links": [{"link": "a", "listen": 7001, "to": 8001}, …]}     several lines may name one link
  {"stall": "a", "ms": 300}        nothing arrives for so long; then all of it does

Each direction of a connection keeps at most so many bytes on the way (ROOM); beyond that the sender waits, as with TCP.
"""

import asyncio
import collections
import json
import sys

ROOM = 1 << 20


class Link:
    def __init__(self):
        self.still_until = 0.0


class Links:
    def __init__(self, latency_s):
        self.latency_s = latency_s
        self.links = collections.defaultdict(Link)
        self.servers = []

    async def listen(self, link, port, to):
        async def accept(reader, writer):
            try:
                there = await asyncio.open_connection("127.0.0.1", to)
            except OSError:
                writer.transport.abort()
                return
            both = ((reader, there[1]), (there[0], writer))
            await asyncio.gather(*(self.carry(self.links[link], one, other) for one, other in both))
            for end in (writer, there[1]):
                end.transport.abort()

        self.servers.append(await asyncio.start_server(accept, "127.0.0.1", port))

    async def carry(self, link, reader, writer):
        loop = asyncio.get_running_loop()
        on_the_way, room = asyncio.Queue(), asyncio.Condition()
        held = 0

        async def deliver():
            nonlocal held
            while True:
                due, data = await on_the_way.get()
                while (wait := max(due, link.still_until) - loop.time()) > 0:
                    await asyncio.sleep(wait)
                if not data:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
                async with room:
                    held -= len(data)
                    room.notify()

        delivery = asyncio.create_task(deliver())
        try:
            data = b"-"
            while data and not delivery.done():
                data = await reader.read(65536)
                on_the_way.put_nowait((loop.time() + self.latency_s, data))
                held += len(data)
                async with room:
                    await room.wait_for(lambda: held < ROOM or delivery.done())
            await delivery
        except OSError:
            delivery.cancel()


async def main():
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    links = None
    while line := await lines.readline():
        words = json.loads(line)
        if "links" in words:
            links = Links(words["latency_ms"] / 1000)
            for one in words["links"]:
                await links.listen(one["link"], one["listen"], one["to"])
        else:
            link = links.links[words["stall"]]
            link.still_until = max(link.still_until, loop.time() + words["ms"] / 1000)
        print("{}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
