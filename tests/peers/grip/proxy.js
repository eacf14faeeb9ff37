// A GRIP proxy in front of a component, made with npm's @fanoutio/grip and jose: they encode the component's input,
// decode its output, and verify the signatures of what it publishes. The app is the chat.
//
//     proxy.js HS256 | ES256
//
// Prints a line of JSON with the port for publishing and the key that it signs with; reads the component's address;
// exits with 0 if all checks pass.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import readline from "node:readline";

import { decodeWebSocketEvents, encodeWebSocketEvents, validateSig, WebSocketEvent } from "@fanoutio/grip";
import * as jose from "jose";

const PUBLISHERS_KEY = "what publishers have";
const SECRET = "a secret of the proxy's";
const algorithm = process.argv[2];
const text = (bytes) => bytes && new TextDecoder().decode(bytes);
const secret = (key) => new TextEncoder().encode(key);

/** The requests to publish that it got. */
const published = [];

const endpoint = http.createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  const token = request.headers.authorization.replace("Bearer ", "");
  const isSigned = await validateSig(token, PUBLISHERS_KEY, "publisher");
  published.push({ path: request.url, isSigned, items: JSON.parse(body).items });
  response.end("Published\n");
});

class Proxy {
  meta = {};

  constructor(address, key, signedWith = algorithm) {
    Object.assign(this, { address, key, signedWith });
  }

  async send(events, { issuer = "proxy", expires = 60 } = {}) {
    const token = new jose.SignJWT({ iss: issuer, exp: Math.floor(Date.now() / 1000) + expires });
    const response = await fetch(`http://${this.address}/rooms/blue?ann`, {
      method: "POST",
      headers: {
        "Content-Type": "application/websocket-events",
        "Connection-Id": "c-1",
        "Sec-WebSocket-Extensions": "grip",
        "Grip-Sig": await token.setProtectedHeader({ alg: this.signedWith, typ: "JWT" }).sign(this.key),
        ...this.meta,
      },
      body: encodeWebSocketEvents(events),
    });
    const body = new Uint8Array(await response.arrayBuffer());
    if (response.status !== 200) return response.status;
    assert.equal(response.headers.get("Content-Type"), "application/websocket-events");
    for (const [name, value] of response.headers) {
      if (name.startsWith("set-meta-")) this.meta[name.slice(4)] = value;
    }
    return decodeWebSocketEvents(body).map((event) => [event.getType(), text(event.getContent())]);
  }
}

async function converse(proxy) {
  const [open, ...controls] = await proxy.send([new WebSocketEvent("OPEN")]);
  assert.equal(open[0], "OPEN");
  const joined = controls.pop();
  assert.deepEqual(joined, ["TEXT", "m:ann joined"]);
  const subscribe = { type: "subscribe", channel: "blue", filters: ["skip-self"] };
  const setUser = { type: "set-meta", name: "user", value: "c-1" };
  assert.deepEqual(controls.map(([, control]) => JSON.parse(control.slice(2))), [setUser, subscribe]);
  const item = { channel: "blue", formats: { "ws-message": { content: "ann joined" } }, meta: { sender: "c-1" } };
  assert.deepEqual(published.pop(), { path: "/publish/", isSigned: true, items: [item] });

  const said = [["TEXT", "κόσμε"], ["PING", "p"], ["TEXT", "b"]].map((event) => new WebSocketEvent(...event));
  const answered = [["TEXT", "m:ann (1): κόσμε"], ["PONG", "p"], ["TEXT", "m:ann (2): b"]];
  assert.deepEqual(await proxy.send(said), answered);
  assert.equal(published.pop().items.length, 2);

  const bye = new WebSocketEvent("CLOSE", new Uint8Array([0x03, 0xe8, 0x62]));
  assert.equal((await proxy.send([bye]))[0][0], "CLOSE");
  assert.equal(published.pop().items[0].formats["ws-message"].content, "ann left (1000)");
}

const isSecret = algorithm === "HS256";
const pair = await jose.generateKeyPair("ES256", { extractable: true });
const key = isSecret ? secret(SECRET) : pair.privateKey;
const configured = isSecret ? SECRET : await jose.exportSPKI(pair.publicKey);
endpoint.listen(0, "127.0.0.1");
await once(endpoint, "listening");
console.log(JSON.stringify({ port: endpoint.address().port, key: configured }));
const [address] = await once(readline.createInterface({ input: process.stdin }), "line");

await converse(new Proxy(address, key));
const opening = [new WebSocketEvent("OPEN")];
assert.equal(await new Proxy(address, key).send(opening, { expires: -1 }), 401);
assert.equal(await new Proxy(address, key).send(opening, { issuer: "other" }), 401);
// Another key, and the public key, which is no secret, used as one.
const other = isSecret ? secret("another") : (await jose.generateKeyPair("ES256")).privateKey;
assert.equal(await new Proxy(address, other).send(opening), 401);
assert.equal(await new Proxy(address, secret(configured + "x"), "HS256").send(opening), 401);
if (!isSecret) assert.equal(await new Proxy(address, secret(configured), "HS256").send(opening), 401);
process.exit(0);
