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
export type Message = MessageText | MessageBinary;
export interface MessageText {
  tag: 'text',
  val: string,
}
export interface MessageBinary {
  tag: 'binary',
  val: Uint8Array,
}
export interface Subscribed {
  topic: string,
  position?: string,
  recovered: boolean,
}
export interface Delivery {
  topic: string,
  message: Message,
  position?: string,
}
export interface Gap {
  topic: string,
  position?: string,
}
export interface Members {
  topic: string,
  count: bigint,
  members: Array<Uint8Array>,
}
export interface MemberChange {
  topic: string,
  member: Uint8Array,
}
/**
 * # Variants
 * 
 * ## `"subscribe"`
 * 
 * ## `"publish"`
 * 
 * ## `"list-members"`
 */
export type TopicOperation = 'subscribe' | 'publish' | 'list-members';
export interface TopicRefusal {
  topic: string,
  operation: TopicOperation,
  reason: string,
}
export interface ResponseHead {
  status: number,
  fields: Array<Field>,
}
export interface Response {
  head: ResponseHead,
  body: Uint8Array,
}
export type Start = StartNow | StartLast | StartAfter;
export interface StartNow {
  tag: 'now',
}
export interface StartLast {
  tag: 'last',
  val: number,
}
export interface StartAfter {
  tag: 'after',
  val: string,
}
export interface History {
  count: number,
  seconds: number,
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
export interface Subscription {
  topic: string,
  start: Start,
  keep?: History,
  member?: Uint8Array,
  watchMembers: boolean,
  confirm: boolean,
}
export interface Publication {
  topic: string,
  message: Message,
  toOthers: boolean,
}
export type TopicAction = TopicActionSubscribe | TopicActionUnsubscribe | TopicActionPublish | TopicActionListMembers;
export interface TopicActionSubscribe {
  tag: 'subscribe',
  val: Subscription,
}
export interface TopicActionUnsubscribe {
  tag: 'unsubscribe',
  val: string,
}
export interface TopicActionPublish {
  tag: 'publish',
  val: Publication,
}
export interface TopicActionListMembers {
  tag: 'list-members',
  val: string,
}
export interface Effects {
  output: Uint8Array,
  wakeAt?: Instant,
  next: Next,
  wakeOthers: BigUint64Array,
  topics: Array<TopicAction>,
}
export type TopicEvent = TopicEventSubscribed | TopicEventRefused | TopicEventGap | TopicEventMembers | TopicEventJoined | TopicEventLeft | TopicEventTooSlow;
export interface TopicEventSubscribed {
  tag: 'subscribed',
  val: Subscribed,
}
export interface TopicEventRefused {
  tag: 'refused',
  val: TopicRefusal,
}
export interface TopicEventGap {
  tag: 'gap',
  val: Gap,
}
export interface TopicEventMembers {
  tag: 'members',
  val: Members,
}
export interface TopicEventJoined {
  tag: 'joined',
  val: MemberChange,
}
export interface TopicEventLeft {
  tag: 'left',
  val: MemberChange,
}
export interface TopicEventTooSlow {
  tag: 'too-slow',
}
