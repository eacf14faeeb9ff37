/** @module Interface wasocket:websocket/app@0.1.0 **/
export function handle(connection: string, state: Uint8Array, events: Array<Event>): Array<Action>;
export type Request = import('./wasocket-websocket-types.js').Request;
export type Message = import('./wasocket-websocket-types.js').Message;
export interface CloseReason {
  code: number,
  reason: string,
}
export type Subscribed = import('./wasocket-websocket-types.js').Subscribed;
export type Delivery = import('./wasocket-websocket-types.js').Delivery;
export type Gap = import('./wasocket-websocket-types.js').Gap;
export type Members = import('./wasocket-websocket-types.js').Members;
export type MemberChange = import('./wasocket-websocket-types.js').MemberChange;
export type TopicRefusal = import('./wasocket-websocket-types.js').TopicRefusal;
export type Event = EventRequest | EventOpen | EventMessage | EventClosed | EventSubscribed | EventPublished | EventGap | EventMembers | EventJoined | EventLeft | EventRefused;
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
export interface EventSubscribed {
  tag: 'subscribed',
  val: Subscribed,
}
export interface EventPublished {
  tag: 'published',
  val: Delivery,
}
export interface EventGap {
  tag: 'gap',
  val: Gap,
}
export interface EventMembers {
  tag: 'members',
  val: Members,
}
export interface EventJoined {
  tag: 'joined',
  val: MemberChange,
}
export interface EventLeft {
  tag: 'left',
  val: MemberChange,
}
export interface EventRefused {
  tag: 'refused',
  val: TopicRefusal,
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
export type Start = import('./wasocket-websocket-types.js').Start;
export type History = import('./wasocket-websocket-types.js').History;
/**
 * # Variants
 * 
 * ## `"peer"`
 * 
 * ## `"peer-with-position"`
 * 
 * ## `"app"`
 */
export type Receiver = 'peer' | 'peer-with-position' | 'app';
export interface Subscription {
  topic: string,
  start: Start,
  keep?: History,
  member?: Uint8Array,
  watchMembers: boolean,
  receiver: Receiver,
}
export type Action = ActionRespond | ActionAccept | ActionSend | ActionClose | ActionSetState | ActionSubscribe | ActionUnsubscribe | ActionPublish | ActionPublishToOthers | ActionSubscribeWith | ActionListMembers | ActionFail;
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
export interface ActionPublishToOthers {
  tag: 'publish-to-others',
  val: Publication,
}
export interface ActionSubscribeWith {
  tag: 'subscribe-with',
  val: Subscription,
}
export interface ActionListMembers {
  tag: 'list-members',
  val: string,
}
export interface ActionFail {
  tag: 'fail',
  val: string,
}
