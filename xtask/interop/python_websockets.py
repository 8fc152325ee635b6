"""Python websockets as the other side: a client of test-server, or a server for test-client.

    python_websockets.py client WISH AGREED ws://HOST:PORT/
    python_websockets.py server WISH AGREED TEST-CLIENT [OPTION...]

WISH is what this side asks for where compression is negotiated, "takeover" or "no-takeover" of
contexts; AGREED is what must come of it, "plain" for no compression. One line a check: "ok NAME",
or "FAIL NAME: why". The end is 1 if one failed. No check takes longer than PATIENCE.
"""

import asyncio
import contextlib
import os
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

# Both sides of where RFC 6455 §5.2 changes the form of a length, and a long one.
SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]

# Seconds; a check takes milliseconds on a machine that has nothing else to do.
PATIENCE = 30


def text(size):
    """Characters of one to four bytes, `size` bytes in all."""
    pattern = "aé€😀".encode()
    whole, rest = divmod(size, len(pattern))
    return pattern * whole + b"z" * rest


def messages(kind):
    return [text(size) if kind == "text" else os.urandom(size) for size in SIZES]


def differ(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: got {got!r:.200}, want {want!r:.200}")


class Checks:
    failed = False

    async def __call__(self, name, check):
        try:
            async with asyncio.timeout(PATIENCE):
                await check
        except Exception as fault:
            self.failed = True
            reason = " ".join(f"{type(fault).__name__}: {fault}".split())
            print(f"FAIL {name}: {reason}", flush=True)
        else:
            print(f"ok {name}", flush=True)


def agreed_in(response):
    """What of WISH and AGREED a handshake's answer says."""
    header = response.headers.get("Sec-WebSocket-Extensions", "")
    if "permessage-deflate" not in header:
        return "plain"
    ends = {f"{end}_no_context_takeover" in header for end in ("server", "client")}
    return "halfway" if len(ends) > 1 else "no-takeover" if ends.pop() else "takeover"


class Client:
    """Of test-server."""

    def __init__(self, wish, agreed, url):
        alone = wish == "no-takeover"
        deflate = ClientPerMessageDeflateFactory(
            server_no_context_takeover=alone,
            client_no_context_takeover=alone,
            client_max_window_bits=True,
        )
        self.agreed = agreed
        self.options = {"extensions": [deflate], "compression": None, "max_size": None}
        self.url = url

    def connect(self, protocol):
        return connect(self.url, subprotocols=[protocol], proxy=None, **self.options)

    async def run(self, check):
        await check(f"what is agreed is {self.agreed}", self.agreement())
        for protocol, frames in [("echo", 1), ("echo-assemble", 1), ("echo-fragment", 2)]:
            for kind in ["text", "binary"]:
                name = f"{protocol}: {kind} of 0 to {SIZES[-1]} bytes, frames {frames}"
                await check(name, self.replies(protocol, kind, frames))
        for protocol, frames in [("echo", None), ("echo-assemble", 1), ("echo-fragment", 2)]:
            name = f"{protocol}: messages in fragments, cut within characters"
            await check(name, self.fragments(protocol, frames))
        await check("echo-broadcast: three hear what each says", self.broadcast())
        await check("pings of 0 to 125 bytes, also within a message", self.pings())
        await check("our close with a code and a reason", self.our_close())
        await check("its close with a code and a reason", self.its_close())
        await check("octets on the wire tell what was agreed", self.octets())

    async def agreement(self):
        async with self.connect("echo") as socket:
            differ("subprotocol", socket.subprotocol, "echo")
            differ("agreed", agreed_in(socket.response), self.agreed)

    async def replies(self, protocol, kind, frames):
        async with self.connect(protocol) as socket:
            for message in messages(kind):
                await socket.send(message, text=kind == "text")
                got = [frame async for frame in socket.recv_streaming(decode=False)]
                differ("frames", len(got), frames)
                differ("reply", b"".join(got), message)

    async def fragments(self, protocol, frames):
        whole = text(70_000)
        parts = [whole[:1], whole[1:2], b"", whole[2:126], whole[126:65_662], whole[65_662:]]
        async with self.connect(protocol) as socket:
            for kind in ["text", "binary"]:
                await socket.send(parts, text=kind == "text")
                got = [frame async for frame in socket.recv_streaming(decode=False)]
                # websockets ends a message in fragments with an empty one.
                differ("frames", len(got), frames or len(parts) + 1)
                differ("reply", b"".join(got), whole)

    async def broadcast(self):
        async with contextlib.AsyncExitStack() as stack:
            everybody = []

            async def heard(message):
                for listener in everybody:
                    differ("heard", await listener.recv(), message)

            for name in ["one", "two", "three"]:
                everybody.append(await stack.enter_async_context(self.connect("echo-broadcast")))
                # The answer to the handshake says nothing about the group; this does.
                await everybody[-1].send(name)
                await heard(name)
            for socket in everybody:
                for message in ["", "to all", b"\x00\xff", text(70_000).decode()]:
                    await socket.send(message)
                    await heard(message)
                await socket.send(["in ", "fragments"])
                await heard("in fragments")

    async def pings(self):
        async with self.connect("echo") as socket:
            for size in [0, 1, 124, 125]:
                # Resolved by a Pong with the same octets.
                await (await socket.ping(os.urandom(size)))

            async def interrupted():
                yield "before "
                await (await socket.ping(b"within"))
                yield "after"

            await socket.send(interrupted())
            differ("reply", await socket.recv(), "before after")

    async def our_close(self):
        async with self.connect("echo") as socket:
            await socket.close(4321, "so be it")
            differ("code", socket.close_code, 4321)
            differ("who closed first", socket.protocol.close_rcvd_then_sent, False)

    async def its_close(self):
        async with self.connect("echo-assemble") as socket:
            # What is no text may not be sent as one.
            await socket.send(b"\xff", text=True)
            try:
                await socket.recv()
                raise AssertionError("a reply to what is no text")
            except ConnectionClosed as closed:
                differ("code", closed.rcvd and closed.rcvd.code, 1007)
                differ("reason is given", bool(closed.rcvd.reason), True)
                differ("who closed first", closed.rcvd_then_sent, True)

    async def octets(self):
        # Compresses not at all alone, and to nothing behind itself.
        noise = os.urandom(4096)
        async with self.connect("echo") as socket:
            easy = await self.octets_of_reply(socket, b"easy " * 4096)
            first = await self.octets_of_reply(socket, noise)
            second = await self.octets_of_reply(socket, noise)
        differ("compressed", easy < 2048, self.agreed != "plain")
        differ("noise was sent whole", first >= len(noise), True)
        differ("context was kept", second < 1024, self.agreed == "takeover")

    async def octets_of_reply(self, socket, message):
        octets = 0
        receive = socket.protocol.receive_data

        def count(data):
            nonlocal octets
            octets += len(data)
            receive(data)

        socket.protocol.receive_data = count
        await socket.send(message)
        differ("reply", await socket.recv(), message)
        socket.protocol.receive_data = receive
        return octets


class Server:
    """For test-client; what it is asked for stands in the path."""

    def __init__(self, wish, agreed, program, *options):
        alone = wish == "no-takeover"
        deflate = ServerPerMessageDeflateFactory(
            server_no_context_takeover=alone, client_no_context_takeover=alone
        )
        self.agreed = agreed
        self.options = {"extensions": [deflate], "compression": None, "max_size": None}
        self.command = [program, *options]
        # How each connection of a check ended: agreement, code, messages.
        self.ended = []

    async def run(self, check):
        protocols = {"subprotocols": ["echo"], "select_subprotocol": self.select}
        async with serve(self.serve, "127.0.0.1", 0, **protocols, **self.options) as server:
            port = server.sockets[0].getsockname()[1]
            self.url = f"ws://127.0.0.1:{port}/"
            await self.run_against(check)

    async def run_against(self, check):
        for kind, flags in [("text", []), ("binary", ["-b"])]:
            name = f"{kind} of 0 to {SIZES[-1]} bytes comes back"
            await check(name, self.all_sizes(flags))
            name = f"{kind} in 66 fragments comes back"
            await check(name, self.echoed("-s", 65_536, "-f", 1000, *flags))
            name = f"{kind} comes back in fragments"
            await check(name, self.echoed("-s", 65_536, *flags, path="fragments"))
        await check("five clients at once", self.echoed("-C", 5, clients=5))
        for size in [0, 125]:
            await check(f"its pings of {size} bytes are answered", self.pings(size))
        await check("our pings are answered", self.echoed(path="ping"))
        await check("our close with a code and a reason", self.our_close())

    def select(self, connection, offered):
        return "echo" if "echo" in offered else None

    async def serve(self, socket):
        received = 0
        path = socket.request.path
        try:
            async for message in socket:
                received += 1
                if path == "/close":
                    await socket.close(4321, "so be it")
                if path == "/ping":
                    await (await socket.ping(os.urandom(125)))
                parts = [message[:100], message[100:], message[:0]]
                await socket.send(parts if path == "/fragments" else message)
        except ConnectionClosed:
            pass
        await socket.wait_closed()
        self.ended.append((agreed_in(socket.response), socket.close_code, received))

    async def test_client(self, path, clients, *arguments):
        """Its exit status and what it says on stderr; stdout has times only."""
        self.ended.clear()
        command = [*self.command, "--url", self.url + path, "-q", "-d", "0", *arguments]
        program, *arguments = map(str, command)
        child = await asyncio.create_subprocess_exec(
            program, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, stderr = await child.communicate()
        except asyncio.CancelledError:
            child.kill()
            raise
        # A connection is done when both ends are: ours may be last, but not by much.
        for _ in range(200):
            if len(self.ended) >= clients:
                break
            await asyncio.sleep(0.01)
        return child.returncode, stderr.decode().strip()

    async def echoed(self, *arguments, path="", clients=1):
        ended = await self.test_client(path, clients, "-P", "echo", "-c", 2, *arguments)
        differ("test-client", ended, (0, ""))
        differ("ends", self.ended, [(self.agreed, 1000, 2)] * clients)

    async def all_sizes(self, flags):
        for size in SIZES:
            await self.echoed("-s", size, "-f", 0, *flags)

    async def pings(self, size):
        ended = await self.test_client("", 1, "-c", 2, "-s", size)
        differ("test-client", ended, (0, ""))
        differ("ends", self.ended, [(self.agreed, 1000, 0)])

    async def our_close(self):
        status, stderr = await self.test_client("close", 1, "-P", "echo", "-c", 2)
        differ("status", status, 1)
        differ("reported", '4321 "so be it"' in stderr, True)
        differ("ends", self.ended, [(self.agreed, 4321, 1)])


async def main(role, wish, agreed, *arguments):
    check = Checks()
    peer = {"client": Client, "server": Server}[role]
    await peer(wish, agreed, *arguments).run(check)
    return check.failed


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
