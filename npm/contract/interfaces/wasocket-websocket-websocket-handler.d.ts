/** @module Interface wasocket:websocket/websocket-handler@0.1.0 **/
export function handle(request: Request): Decision;
export function resume(now: Instant, id: ConnectionId, suspension: Suspension, state: Uint8Array): Resumed;
export function receiveMany(now: Instant, arrivals: Array<Arrival>, bytes: Uint8Array): Outcomes;
export function deliver(now: Instant, delivery: Delivery, known: Uint32Array, connections: Array<Connection>): Deliveries;
export type ConnectionId = import('./wasocket-websocket-types.js').ConnectionId;
export type Delivery = import('./wasocket-websocket-types.js').Delivery;
export type Effects = import('./wasocket-websocket-types.js').Effects;
export type Instant = import('./wasocket-websocket-types.js').Instant;
export type Next = import('./wasocket-websocket-types.js').Next;
export type Publication = import('./wasocket-websocket-types.js').Publication;
export type Request = import('./wasocket-websocket-types.js').Request;
export type Response = import('./wasocket-websocket-types.js').Response;
export type ResponseHead = import('./wasocket-websocket-types.js').ResponseHead;
export type TopicAction = import('./wasocket-websocket-types.js').TopicAction;
export type TopicEvent = import('./wasocket-websocket-types.js').TopicEvent;
export interface Takeover {
  response?: ResponseHead,
  connection: Connection,
  finalBytes: Uint8Array,
}
export type Answer = AnswerRespond | AnswerTakeover;
export interface AnswerRespond {
  tag: 'respond',
  val: Response,
}
export interface AnswerTakeover {
  tag: 'takeover',
  val: Takeover,
}
export type Verdict = VerdictAnswer | VerdictPending;
export interface VerdictAnswer {
  tag: 'answer',
  val: Answer,
}
export interface VerdictPending {
  tag: 'pending',
  val: PendingRequest,
}
export interface Decision {
  verdict: Verdict,
  wakeOthers: BigUint64Array,
  fault?: string,
  refusal?: string,
  publications: Array<Publication>,
}
export interface PollResult {
  answer?: Answer,
  wakeAt?: Instant,
  wakeOthers: BigUint64Array,
  fault?: string,
  refusal?: string,
  publications: Array<Publication>,
}
export interface Keepalive {
  pingAt: Instant,
  interval: bigint,
  timeout: bigint,
  ping: Uint8Array,
  answer: Uint8Array,
  answerMask: Uint8Array,
  wakeAt?: Instant,
}
export interface Suspended {
  state: Uint8Array,
  keepalive?: Keepalive,
}
export interface Suspension {
  suspendedFor: bigint,
  answered?: bigint,
  pinged?: bigint,
}
export interface Resumed {
  connection: Connection,
  finalBytes: Uint8Array,
  effects: Effects,
}
/**
 * # Variants
 * 
 * ## `"unsupported"`
 * 
 * ## `"unknown-version"`
 * 
 * ## `"invalid"`
 */
export type ResumeError = 'unsupported' | 'unknown-version' | 'invalid';
export interface Arrival {
  connection: Connection,
  length: number,
}
export interface Form {
  number: number,
  bytes: Uint8Array,
}
export interface LastEffects {
  wakeOthers: BigUint64Array,
  publications: Array<Publication>,
}
export interface Outcome {
  outputLength: number,
  wakeAt?: Instant,
  next: Next,
  topics: Array<TopicAction>,
}
export type ExceptionEffect = ExceptionEffectForm | ExceptionEffectOutcome;
export interface ExceptionEffectForm {
  tag: 'form',
  val: number,
}
export interface ExceptionEffectOutcome {
  tag: 'outcome',
  val: Outcome,
}
export interface Exception {
  index: number,
  effect: ExceptionEffect,
}
export interface Deliveries {
  forms: Array<Form>,
  shared?: number,
  exceptions: Array<Exception>,
  output: Uint8Array,
  wakeOthers: BigUint64Array,
}
export interface Outcomes {
  results: Array<Outcome>,
  output: Uint8Array,
  wakeOthers: BigUint64Array,
}
export interface MessageLimits {
  maxMessageSize?: bigint,
  maxMessagesPerSecond?: number,
}
/**
 * # Variants
 * 
 * ## `"peer"`
 * 
 * ## `"app"`
 * 
 * ## `"protocol"`
 * 
 * ## `"host"`
 */
export type Initiator = 'peer' | 'app' | 'protocol' | 'host';
export interface Closing {
  initiator: Initiator,
  code: number,
  reason: string,
}
export interface Report {
  messagesReceived: bigint,
  messagesSent: bigint,
  closing?: Closing,
  fault?: string,
}
/**
 * # Variants
 * 
 * ## `"going-away"`
 * 
 * ## `"service-restart"`
 */
export type ShutdownReason = 'going-away' | 'service-restart';

export class Connection {
  /**
   * This type does not have a public constructor.
   */
  private constructor();
  open(now: Instant, id: ConnectionId, residual: Uint8Array): Effects;
  setLimits(limits: MessageLimits): void;
  receive(now: Instant, bytes: Uint8Array): Effects;
  receiveEof(now: Instant): Effects;
  wake(now: Instant, unsent: bigint): Effects;
  shutdown(now: Instant, reason: ShutdownReason): Effects;
  lost(now: Instant): LastEffects;
  tell(now: Instant, event: TopicEvent): Effects;
  report(): Report;
  suspend(now: Instant): Suspended | undefined;
}

export class PendingRequest {
  /**
   * This type does not have a public constructor.
   */
  private constructor();
  poll(now: Instant, id: ConnectionId): PollResult;
}
