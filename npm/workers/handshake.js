// The part of an opening handshake (RFC 6455 §4.2.1) that the platform leaves to the app: which pages may connect, the
// subprotocol, and the rules that the platform does not check strictly.

import { plain } from './answer.js';

/**
 * @typedef {import('../contract/interfaces/wasocket-websocket-app.js').Accept} Accept
 * @typedef {import('../contract/interfaces/wasocket-websocket-app.js').Origins} Origins
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Response} AppResponse
 */

/** A refusal, and why, for the log: the rule with the values that were compared. @typedef {{ response: AppResponse, reason: string }} Refused */

/** A host and a port, normalised. @typedef {{ host: string, port: string | undefined }} Authority */

/** The most subprotocols a client may offer. Real clients offer a handful. */
const MAX_OFFERS = 64;

/** The most characters of a value that are logged. */
const MAX_VALUE = 256;

/** The default ports (RFC 6454 §4, item 4). @type {Record<string, string>} */
const DEFAULT_PORTS = { http: '80', https: '443' };

/** @param {Request} request */
export function wantsWebSocket(request) {
  return list(request, 'Upgrade').some((protocol) => protocol.toLowerCase() === 'websocket');
}

/**
 * The refusal of an opening handshake; undefined if it is valid.
 *
 * @param {Request} request
 * @param {Accept} accept
 * @returns {Refused | undefined}
 */
export function refusal(request, accept) {
  const { headers } = request;
  if (request.method !== 'GET') {
    return refused(405, 'a WebSocket is opened with GET', { method: request.method }, [['Allow', 'GET']]);
  }
  if (headers.get('Upgrade')?.toLowerCase() !== 'websocket') {
    return refused(400, 'Upgrade has to be websocket alone here', { Upgrade: headers.get('Upgrade') });
  }
  if (!isWithoutBody(request)) {
    const lengths = { 'Content-Length': headers.get('Content-Length'), 'Transfer-Encoding': headers.get('Transfer-Encoding') };
    return refused(400, 'a request for a WebSocket has no body', lengths);
  }
  // RFC 6455 §4.2.1, item 5: the base64 of 16 bytes. A second key makes it another text.
  const key = headers.get('Sec-WebSocket-Key');
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key ?? '')) {
    return refused(400, 'Sec-WebSocket-Key is not the base64 of 16 bytes', { 'Sec-WebSocket-Key': key });
  }
  const named = headers.get('Host') ?? new URL(request.url).host;
  const host = parseAuthority(named);
  if (host === undefined) {
    return refused(400, 'Host is missing, repeated or malformed', { Host: named });
  }
  const origin = headers.get('Origin');
  const isSecure = request.url.startsWith('https:');
  if (origin !== null && !allows(accept.settings?.origins ?? { tag: 'same' }, origin, host, isSecure)) {
    return refused(403, 'this Origin is not allowed here', { Origin: origin, Host: named });
  }
  if (!areValidOffers(request)) {
    // Without the value: pages put tokens there.
    return refused(400, `Sec-WebSocket-Protocol is not a list of unique tokens, ${MAX_OFFERS} at most`, {});
  }
  return undefined;
}

/**
 * @param {number} status
 * @param {string} rule
 * @param {Record<string, string | null>} values what was compared
 * @param {[string, string][]} [fields]
 * @returns {Refused}
 */
function refused(status, rule, values, fields) {
  const found = Object.entries(values).map(([name, value]) => (value === null ? `no ${name}` : `${name} ${quoted(value)}`));
  const reason = found.length > 0 ? `${rule}: ${found.join(', ')}` : rule;
  return { response: plain(status, rule, fields), reason };
}

/** The beginning of a value that a client has sent, in visible ASCII characters. @param {string} value */
function quoted(value) {
  const escaped = (/** @type {string} */ char) => `\\u{${char.codePointAt(0)?.toString(16)}}`;
  return `'${value.slice(0, MAX_VALUE).replace(/[^\x20-\x7e]|['\\]/gu, escaped)}'`;
}

/** Bytes that one party counts as body and the other as frames are how requests are smuggled. @param {Request} request */
function isWithoutBody({ headers }) {
  return (headers.get('Content-Length') ?? '0') === '0' && !headers.has('Transfer-Encoding');
}

/**
 * The app's subprotocol, if the client offers it (RFC 6455 §4.2.2).
 *
 * @param {Request} request
 * @param {string | undefined} selected
 */
export function subprotocol(request, selected) {
  return offers(request).find((offer) => offer === selected);
}

/** @param {Request} request */
function offers(request) {
  return list(request, 'Sec-WebSocket-Protocol');
}

/** RFC 6455 §11.3.4: `1#token`; §4.1: the elements "MUST all be unique strings". @param {Request} request */
function areValidOffers(request) {
  if (!request.headers.has('Sec-WebSocket-Protocol')) {
    return true;
  }
  const all = offers(request);
  const areTokens = all.every((offer) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(offer));
  return areTokens && all.length > 0 && all.length <= MAX_OFFERS && new Set(all).size === all.length;
}

/**
 * The elements of a comma-separated list (RFC 9110 §5.6.1), the empty ones left out.
 *
 * @param {Request} request
 * @param {string} name
 */
function list(request, name) {
  const elements = (request.headers.get(name) ?? '').split(',');
  return elements.map((element) => element.replace(/^[ \t]+|[ \t]+$/g, '')).filter((element) => element !== '');
}

/**
 * Whether a browser's page of this origin may connect (RFC 6455 §10.2).
 *
 * @param {Origins} origins
 * @param {string} text
 * @param {Authority} host
 * @param {boolean} isSecure
 */
function allows(origins, text, host, isSecure) {
  if (origins.tag === 'dangerously-allow-any') {
    return true;
  }
  const origin = parseOrigin(text);
  if (origin === undefined) {
    return false;
  }
  const isListed = origins.tag === 'same-or' && origins.val.some((pattern) => matches(origin, pattern));
  return isListed || isSame(origin, host, isSecure);
}

/** RFC 6454 §7.1: `scheme "://" host [ ":" port ]`. `null` and lists are none. @param {string} text */
function parseOrigin(text) {
  const [, scheme, rest] = /^(.*?):\/\/(.*)$/s.exec(text) ?? [];
  const authority = rest === undefined ? undefined : parseAuthority(rest);
  return scheme === undefined || authority === undefined ? undefined : { scheme: scheme.toLowerCase(), ...authority };
}

/**
 * Whether this is the origin of the server. Without TLS it may be `https`, too: a proxy may terminate it.
 *
 * @param {Authority & { scheme: string }} origin
 * @param {Authority} host
 * @param {boolean} isSecure
 */
function isSame(origin, host, isSecure) {
  const byDefault = DEFAULT_PORTS[origin.scheme];
  return (
    (origin.scheme === 'https' || (origin.scheme === 'http' && !isSecure)) &&
    origin.host === host.host &&
    (origin.port ?? byDefault) === (host.port ?? byDefault)
  );
}

/**
 * Whether a pattern has this origin: `https://*.example.com` stands for one label more (RFC 9525 §6.3),
 * `http://localhost:*` for any port.
 *
 * @param {Authority & { scheme: string }} origin
 * @param {string} pattern
 */
function matches(origin, pattern) {
  const [, scheme, star, name = '', anyPort] = /^(.*?):\/\/(\*\.)?(.*?)(:\*)?$/s.exec(pattern) ?? [];
  const own = parseAuthority(name);
  const host = star === undefined ? origin.host : afterFirstLabel(origin.host);
  const byDefault = DEFAULT_PORTS[origin.scheme];
  return (
    own !== undefined &&
    !name.includes('*') &&
    scheme?.toLowerCase() === origin.scheme &&
    own.host === host &&
    (anyPort !== undefined || (own.port ?? byDefault) === (origin.port ?? byDefault))
  );
}

/** `example.com` for `app.example.com`. Addresses have no labels. @param {string} host */
function afterFirstLabel(host) {
  const dot = host.indexOf('.');
  return host.startsWith('[') || dot < 1 ? undefined : host.slice(dot + 1);
}

/**
 * A host with an optional port (RFC 3986 §3.2, without user information); undefined if the text is something else.
 *
 * @param {string} text
 * @returns {Authority | undefined}
 */
export function parseAuthority(text) {
  const [, host, digits] = /^(\[[^\]]*\]|[^:]*)(?::([0-9]*))?$/s.exec(text) ?? [];
  const name = host?.startsWith('[') ? canonicalAddress(host) : canonicalName(host ?? '');
  if (name === undefined || Number(digits ?? 0) > 65_535) {
    return undefined;
  }
  // RFC 3986 §3.2.3: an empty port is the default.
  return { host: name, port: digits === undefined || digits === '' ? undefined : String(Number(digits)) };
}

/** RFC 3986 §3.2.2: a `reg-name`, which "is case-insensitive". @param {string} name */
function canonicalName(name) {
  const isName = /^(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$/.test(name);
  return isName ? name.toLowerCase() : undefined;
}

/** An IPv6 address in brackets, in its one shortest form. @param {string} address */
function canonicalAddress(address) {
  try {
    return /^\[[0-9A-Fa-f:.]+\]$/.test(address) ? new URL(`http://${address}/`).hostname : undefined;
  } catch {
    return undefined;
  }
}
