// Translates between Node's HTTP and that of the contract (`wit/types.wit`).

import { STATUS_CODES } from 'node:http';

/**
 * @typedef {import('node:http').IncomingMessage & { originalUrl?: string }} IncomingMessage
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Request} Request
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Response} Response
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').ResponseHead} ResponseHead
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Field} Field
 */

/** The most fields of a response, and the most final bytes of a takeover: as in `host-core/src/http1/limits.rs`. */
const MAX_FIELDS = 24_000;
const MAX_FINAL_BYTES = 1024;

/** A head that a component must not send. The request gets a 500; the instance lives on. */
export class BadAnswer extends Error {}

/** Node accepts 0.9, too, and treats requests without a version as 0.9. @type {Record<string, Request['version']>} */
const VERSIONS = { '1.1': 'http11', '2.0': 'http2' };

/**
 * The request as the component gets it.
 *
 * @param {IncomingMessage} request
 * @returns {Request}
 */
export function toRequest(request) {
  const { rawHeaders, socket } = request;
  const fields = rawHeaders.flatMap((name, i) =>
    i % 2 === 0 ? [/** @type {Field} */ ([name, bytesOf(rawHeaders[i + 1] ?? '')])] : [],
  );
  return {
    method: request.method ?? '',
    // Express strips the path at which a handler is mounted.
    target: request.originalUrl ?? request.url ?? '',
    version: VERSIONS[request.httpVersion] ?? 'http10',
    authority: undefined,
    protocol: undefined,
    fields,
    secure: 'encrypted' in socket,
    remote: remoteOf(socket),
  };
}

/** @param {import('node:net').Socket} socket */
function remoteOf({ remoteAddress: address, remoteFamily: family, remotePort: port }) {
  if (address === undefined) {
    return undefined;
  }
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The elements of the comma-separated list in all lines of this name, in lower case. */
export function listOf(/** @type {Field[]} */ fields, /** @type {string} */ name) {
  const lines = fields.filter(([own]) => own.toLowerCase() === name);
  return lines.flatMap(([, value]) => textOf(value).toLowerCase().split(',')).map((element) => element.trim());
}

/**
 * The names and values of a final response, alternating: the component's, and the length of the body.
 *
 * @param {Response} response
 * @returns {string[]}
 * @throws {BadAnswer}
 */
export function fieldsOf(response) {
  const { head } = response;
  if (head.status < 200 || head.status > 599) {
    throw new BadAnswer(`status ${head.status} is not possible here`);
  }
  const fields = checked(head.fields);
  // RFC 9110 §8.6: no Content-Length in a 204; in a 304 it would be that of another response.
  const isSized = head.status !== 204 && head.status !== 304;
  return isSized ? [...fields, 'Content-Length', `${bodyOf(response).length}`] : fields;
}

/**
 * The body that is sent. RFC 9110 §15.3.5, §15.3.6, §15.4.5: these statuses have none.
 *
 * @param {Response} response
 * @returns {Uint8Array}
 */
export function bodyOf({ head, body }) {
  return [204, 205, 304].includes(head.status) ? new Uint8Array() : body;
}

/**
 * A whole response on a socket that no HTTP server writes to any more. It is the last: what a client sends because it
 * believes it was upgraded must not be read as a request.
 *
 * @param {Response} response
 * @param {boolean} isToHead whether the request was a HEAD
 * @returns {Buffer}
 * @throws {BadAnswer}
 */
export function lastResponse(response, isToHead) {
  const { head } = response;
  const fields = fieldsOf(response);
  // RFC 9110 §6.6.1: an origin server with a clock "MUST generate a Date header field" in such responses.
  if (!head.fields.some(([name]) => name.toLowerCase() === 'date')) {
    fields.push('Date', new Date().toUTCString());
  }
  if (!listOf(head.fields, 'connection').includes('close')) {
    fields.push('Connection', 'close');
  }
  return Buffer.concat([statusAndFields(head.status, fields), isToHead ? new Uint8Array() : bodyOf(response)]);
}

/**
 * The head that a takeover begins with: empty for a raw one.
 *
 * @param {ResponseHead | undefined} head
 * @param {Uint8Array} finalBytes
 * @param {Request} request
 * @returns {Buffer}
 * @throws {BadAnswer}
 */
export function takeoverHead(head, finalBytes, request) {
  if (finalBytes.length > MAX_FINAL_BYTES) {
    throw new BadAnswer(`${finalBytes.length} final bytes, more than ${MAX_FINAL_BYTES}`);
  }
  if (head === undefined) {
    return Buffer.alloc(0);
  }
  if (head.status !== 101) {
    throw new BadAnswer(`status ${head.status} is not possible here`);
  }
  const switching = statusAndFields(101, checked(head.fields));
  // RFC 9110 §7.8: a server that is to send 101 and is expected to send 100 "MUST send" the 100 before.
  const expectsContinue = listOf(request.fields, 'expect').includes('100-continue');
  return expectsContinue ? Buffer.concat([bytesOf('HTTP/1.1 100 Continue\r\n\r\n'), switching]) : switching;
}

/**
 * RFC 9110 §5.1: a field's name is a token; §5.5: its value has no control bytes. Only the host says how
 * long a message is: a second opinion is how requests are smuggled.
 *
 * @param {Field[]} fields
 * @returns {string[]}
 */
function checked(fields) {
  if (fields.length > MAX_FIELDS) {
    throw new BadAnswer(`more than ${MAX_FIELDS} fields`);
  }
  return fields.flatMap(([name, bytes]) => {
    const value = textOf(bytes);
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name) || /[^\t\x20-\x7e\x80-\xff]/.test(value)) {
      throw new BadAnswer(`the field ${JSON.stringify(name)} has a bad name or value`);
    }
    if (/^(content-length|trailer|transfer-encoding)$/i.test(name)) {
      throw new BadAnswer(`the field ${JSON.stringify(name)} is for the host to set`);
    }
    return [name, value];
  });
}

/**
 * @param {number} status
 * @param {string[]} fields
 */
function statusAndFields(status, fields) {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  fields.forEach((part, i) => {
    text += i % 2 === 0 ? `${part}: ` : `${part}\r\n`;
  });
  return bytesOf(`${text}\r\n`);
}

/**
 * @param {number} status
 * @param {string} text
 * @returns {Response}
 */
export function plain(status, text) {
  return {
    head: { status, fields: [['Content-Type', bytesOf('text/plain')]] },
    body: bytesOf(`${text}\n`),
  };
}

/** Node has fields as text in which each character is a byte. */
function bytesOf(/** @type {string} */ text) {
  return Buffer.from(text, 'latin1');
}

/** @param {Uint8Array} bytes */
function textOf(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
