// ws as the other side: a client of test-server, or a server for test-client.
//
//     node_ws.mjs client WISH AGREED ws://HOST:PORT/
//     node_ws.mjs server WISH AGREED TEST-CLIENT [OPTION...]
//
// WISH is what this side asks for where compression is negotiated, "takeover" or "no-takeover" of
// contexts; AGREED is what must come of it, "plain" for no compression. One line a check: "ok NAME",
// or "FAIL NAME: why". The end is 1 if one failed. No check takes longer than PATIENCE.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { on, once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import { WebSocket, WebSocketServer } from "ws";

// Both sides of where RFC 6455 §5.2 changes the form of a length, and a long one.
const SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20];

// Milliseconds; a check takes some of them on a machine that has nothing else to do.
const PATIENCE = 30_000;

const KINDS = ["text", "binary"];

// Characters of one to four bytes, `size` bytes in all.
function text(size) {
  const pattern = Buffer.from("aé€😀");
  const whole = size - (size % pattern.length);
  return Buffer.concat([Buffer.alloc(whole, pattern), Buffer.alloc(size - whole, "z")]);
}

let failed = false;

async function check(name, body) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${PATIENCE} ms`)), PATIENCE);
  });
  try {
    await Promise.race([body(), late]);
    console.log(`ok ${name}`);
  } catch (fault) {
    failed = true;
    console.log(`FAIL ${name}: ${String(fault).replace(/\s+/g, " ").slice(0, 400)}`);
  } finally {
    clearTimeout(timer);
  }
}

// Waits for what comes soon or not at all.
async function soon(condition) {
  for (let tries = 0; tries < 200 && !condition(); tries += 1) await sleep(10);
}

function deflate(wish) {
  // With `false` in place of nothing, ws refuses what the other side asks for.
  const alone = wish === "no-takeover" || undefined;
  return { threshold: 0, serverNoContextTakeover: alone, clientNoContextTakeover: alone };
}

// What of WISH and AGREED a handshake's answer says.
function agreedIn(header = "") {
  if (!header.includes("permessage-deflate")) return "plain";
  const ends = ["server", "client"].map((end) => header.includes(`${end}_no_context_takeover`));
  if (ends[0] !== ends[1]) return "halfway";
  return ends[0] ? "no-takeover" : "takeover";
}

// Of test-server.
async function client(wish, agreed, url) {
  const connect = async (protocol) => {
    const socket = new WebSocket(url, [protocol], { perMessageDeflate: deflate(wish) });
    // Whoever waits for an event is told of the error as well.
    socket.on("error", () => {});
    const heard = on(socket, "message");
    socket.receive = async () => (await heard.next()).value;
    socket.once("upgrade", (answer) => (socket.answer = answer));
    await once(socket, "open");
    return socket;
  };
  const close = async (socket, code = 1000) => {
    const closed = once(socket, "close");
    socket.close(code, "so be it");
    assert.equal((await closed)[0], code);
  };
  const expect = async (socket, message, kind) => {
    const [got, binary] = await socket.receive();
    assert.equal(binary, kind === "binary");
    assert.ok(got.equals(message), `${got.length} other bytes than the ${message.length} sent`);
  };
  const send = (socket, message, kind, fin = true) =>
    socket.send(message, { binary: kind === "binary", fin });
  const sendParts = (socket, parts, kind) =>
    parts.forEach((part, index) => send(socket, part, kind, index === parts.length - 1));

  await check(`what is agreed is ${agreed}`, async () => {
    const socket = await connect("echo");
    assert.equal(socket.protocol, "echo");
    assert.equal(agreedIn(socket.answer.headers["sec-websocket-extensions"]), agreed);
    await close(socket);
  });
  for (const protocol of ["echo", "echo-assemble", "echo-fragment"]) {
    for (const kind of KINDS) {
      await check(`${protocol}: ${kind} of 0 to ${SIZES.at(-1)} bytes`, async () => {
        const socket = await connect(protocol);
        for (const size of SIZES) {
          const message = kind === "text" ? text(size) : randomBytes(size);
          send(socket, message, kind);
          await expect(socket, message, kind);
        }
        await close(socket);
      });
    }
    await check(`${protocol}: messages in fragments, cut within characters`, async () => {
      const socket = await connect(protocol);
      const whole = text(70_000);
      const cuts = [0, 1, 2, 2, 126, 65_662, 70_000, 70_000];
      const parts = cuts.slice(1).map((cut, index) => whole.subarray(cuts[index], cut));
      for (const kind of KINDS) {
        sendParts(socket, parts, kind);
        await expect(socket, whole, kind);
      }
      await close(socket);
    });
  }
  await check("echo-broadcast: three hear what each says", async () => {
    const sockets = [];
    const say = async (socket, message, kind) => {
      sendParts(socket, [message.subarray(0, 2), message.subarray(2)], kind);
      for (const listener of sockets) await expect(listener, message, kind);
    };
    for (const name of ["one", "two", "three"]) {
      sockets.push(await connect("echo-broadcast"));
      // The answer to the handshake says nothing about the group; this does.
      await say(sockets.at(-1), Buffer.from(name), "text");
    }
    for (const socket of sockets) {
      for (const size of [0, 10, 70_000]) {
        for (const kind of KINDS) await say(socket, text(size), kind);
      }
    }
    for (const socket of sockets) await close(socket);
  });
  await check("pings of 0 to 125 bytes, also within a message", async () => {
    const socket = await connect("echo");
    send(socket, "before ", "text", false);
    for (const size of [0, 1, 124, 125]) {
      const payload = randomBytes(size);
      const pong = once(socket, "pong");
      socket.ping(payload);
      assert.ok((await pong)[0].equals(payload));
    }
    send(socket, "after", "text");
    await expect(socket, Buffer.from("before after"), "text");
    await close(socket);
  });
  await check("our close with a code and a reason", async () => close(await connect("echo"), 4321));
  await check("its close with a code and a reason", async () => {
    const socket = await connect("echo-assemble");
    const closed = once(socket, "close");
    // What is no text may not be sent as one.
    send(socket, Buffer.from([0xff]), "text");
    const [code, reason] = await closed;
    assert.equal(code, 1007);
    assert.ok(reason.length > 0, "no reason");
  });
  await check("octets on the wire tell what was agreed", async () => {
    const socket = await connect("echo");
    const octetsOfReply = async (message) => {
      const before = socket.answer.socket.bytesRead;
      send(socket, message, "binary");
      await expect(socket, message, "binary");
      return socket.answer.socket.bytesRead - before;
    };
    // Compresses not at all alone, and to nothing behind itself.
    const noise = randomBytes(4096);
    assert.equal((await octetsOfReply(Buffer.alloc(20_480, "easy "))) < 2048, agreed !== "plain");
    assert.ok((await octetsOfReply(noise)) >= noise.length, "noise came in fewer bytes");
    assert.equal((await octetsOfReply(noise)) < 1024, agreed === "takeover");
    await close(socket);
  });
}

// For test-client; what it is asked for stands in the path.
async function server(wish, agreed, program, ...options) {
  // How each connection of a check ended: agreement, code, messages.
  let ended = [];
  const listener = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    perMessageDeflate: deflate(wish),
    handleProtocols: (offered) => offered.has("echo") && "echo",
  });
  listener.on("headers", (lines, request) => {
    request.agreed = agreedIn(lines.find((line) => /^sec-websocket-extensions:/i.test(line)));
  });
  listener.on("connection", (socket, { url, agreed: got }) => {
    let received = 0;
    const reply = async (message, binary) => {
      if (socket.readyState !== WebSocket.OPEN) return;
      received += 1;
      if (url === "/close") return socket.close(4321, "so be it");
      if (url === "/ping") {
        const payload = randomBytes(125);
        const pong = once(socket, "pong");
        socket.ping(payload);
        if (!(await pong)[0].equals(payload)) return socket.close(4999, "another pong");
      }
      if (url !== "/fragments") return socket.send(message, { binary });
      socket.send(message.subarray(0, 101), { binary, fin: false });
      socket.send(message.subarray(101), { binary, fin: false });
      return socket.send("", { binary, fin: true });
    };
    let turn = Promise.resolve();
    socket.on("message", (message, binary) => {
      turn = turn.then(() => reply(message, binary));
    });
    // The code of the close tells it, and the check fails on that.
    socket.on("error", () => {});
    socket.on("close", (code) => ended.push({ agreed: got, code, received }));
  });
  await once(listener, "listening");

  // Its exit status and what it says on stderr; stdout has times only.
  const testClient = async (path, clients, ...flags) => {
    ended = [];
    const url = `ws://127.0.0.1:${listener.address().port}/${path}`;
    const all = [...options, "--url", url, "-q", "-d", "0", "-c", "2", ...flags].map(String);
    const run = promisify(execFile)(program, all, { timeout: PATIENCE });
    const { code, stderr } = await run.catch((fault) => fault);
    // A connection is done when both ends are: ours may be last, but not by much.
    await soon(() => ended.length >= clients);
    return [code ?? 0, stderr];
  };
  const echoed = async (flags, path = "", clients = 1) => {
    assert.deepEqual(await testClient(path, clients, "-P", "echo", ...flags), [0, ""]);
    const one = { agreed, code: 1000, received: 2 };
    assert.deepEqual(ended, Array(clients).fill(one));
  };

  for (const [kind, flags] of [["text", []], ["binary", ["-b"]]]) {
    await check(`${kind} of 0 to ${SIZES.at(-1)} bytes comes back`, async () => {
      for (const size of SIZES) await echoed(["-s", size, "-f", 0, ...flags]);
    });
    const long = ["-s", 65_536, ...flags];
    await check(`${kind} in 66 fragments comes back`, () => echoed([...long, "-f", 1000]));
    await check(`${kind} comes back in fragments`, () => echoed(long, "fragments"));
  }
  await check("five clients at once", () => echoed(["-C", 5], "", 5));
  for (const size of [0, 125]) {
    await check(`its pings of ${size} bytes are answered`, async () => {
      assert.deepEqual(await testClient("", 1, "-s", size), [0, ""]);
      assert.deepEqual(ended, [{ agreed, code: 1000, received: 0 }]);
    });
  }
  await check("our pings are answered", () => echoed([], "ping"));
  await check("our close with a code and a reason", async () => {
    const [status, stderr] = await testClient("close", 1, "-P", "echo");
    assert.equal(status, 1);
    assert.match(stderr, /4321 "so be it"/);
    assert.deepEqual(ended, [{ agreed, code: 4321, received: 1 }]);
  });
}

const [role, ...rest] = process.argv.slice(2);
await { client, server }[role](...rest);
process.exit(failed ? 1 : 0);
