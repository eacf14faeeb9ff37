/** @module Interface wasocket:websocket/types@0.1.0 **/
/**
 * # Variants
 * 
 * ## `"http10"`
 * 
 * ## `"http11"`
 * 
 * ## `"http2"`
 * 
 * ## `"http3"`
 */
export type HttpVersion = 'http10' | 'http11' | 'http2' | 'http3';
export type Field = [string, Uint8Array];
export interface Request {
  method: string,
  target: string,
  version: HttpVersion,
  authority?: string,
  protocol?: string,
  fields: Array<Field>,
  secure: boolean,
  remote?: string,
}
export interface ResponseHead {
  status: number,
  fields: Array<Field>,
}
export interface Response {
  head: ResponseHead,
  body: Uint8Array,
}
export type ConnectionId = bigint;
export type Instant = bigint;
/**
 * # Variants
 * 
 * ## `"open"`
 * 
 * ## `"pause"`
 * 
 * ## `"close"`
 * 
 * ## `"abort"`
 */
export type Next = 'open' | 'pause' | 'close' | 'abort';
export interface Effects {
  output: Uint8Array,
  wakeAt?: Instant,
  next: Next,
  wakeOthers: BigUint64Array,
}
