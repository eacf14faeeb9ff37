/** @module Interface wasocket:websocket/app@0.1.0 **/
export function handle(connection: string, state: Uint8Array, events: Array<Event>): Array<Action>;
export type Request = import('./wasocket-websocket-types.js').Request;
export type Message = MessageText | MessageBinary;
export interface MessageText {
  tag: 'text',
  val: string,
}
export interface MessageBinary {
  tag: 'binary',
  val: Uint8Array,
}
export interface CloseReason {
  code: number,
  reason: string,
}
export type Event = EventRequest | EventOpen | EventMessage | EventClosed;
export interface EventRequest {
  tag: 'request',
  val: Request,
}
export interface EventOpen {
  tag: 'open',
  val: Request,
}
export interface EventMessage {
  tag: 'message',
  val: Message,
}
export interface EventClosed {
  tag: 'closed',
  val: CloseReason,
}
export type Response = import('./wasocket-websocket-types.js').Response;
export type Field = import('./wasocket-websocket-types.js').Field;
export type Origins = OriginsSame | OriginsSameOr | OriginsDangerouslyAllowAny;
export interface OriginsSame {
  tag: 'same',
}
export interface OriginsSameOr {
  tag: 'same-or',
  val: Array<string>,
}
export interface OriginsDangerouslyAllowAny {
  tag: 'dangerously-allow-any',
}
export interface Settings {
  origins: Origins,
  compress: boolean,
  maxMessageSize: number,
}
export interface Accept {
  subprotocol?: string,
  fields: Array<Field>,
  settings?: Settings,
}
export interface Publication {
  channel: string,
  message: Message,
}
export type Action = ActionRespond | ActionAccept | ActionSend | ActionClose | ActionSetState | ActionSubscribe | ActionUnsubscribe | ActionPublish | ActionFail;
export interface ActionRespond {
  tag: 'respond',
  val: Response,
}
export interface ActionAccept {
  tag: 'accept',
  val: Accept,
}
export interface ActionSend {
  tag: 'send',
  val: Message,
}
export interface ActionClose {
  tag: 'close',
  val: CloseReason,
}
export interface ActionSetState {
  tag: 'set-state',
  val: Uint8Array,
}
export interface ActionSubscribe {
  tag: 'subscribe',
  val: string,
}
export interface ActionUnsubscribe {
  tag: 'unsubscribe',
  val: string,
}
export interface ActionPublish {
  tag: 'publish',
  val: Publication,
}
export interface ActionFail {
  tag: 'fail',
  val: string,
}
