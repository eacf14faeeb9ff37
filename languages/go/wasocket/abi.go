package wasocket

import (
	"fmt"
	"runtime/debug"
	"slices"
	"unsafe"
)

// The layout of the values of wit/app.wit in memory (component model, CanonicalABI.md). Go aligns these fields as the
// ABI does; addresses have 32 bits in the ABI, and 64 in Go.
type (
	rawList   struct{ address, length uint32 }
	rawOption struct {
		isSome uint8
		value  rawList
	}
	rawField   struct{ name, value rawList }
	rawRequest struct {
		method, target      rawList
		version             Version
		authority, protocol rawOption
		fields              rawList
		secure              bool
		remote              rawOption
	}
	rawMessage struct {
		tag     uint8
		payload rawList
	}
	rawClose struct {
		code   uint16
		reason rawList
	}
	rawEvent struct {
		tag uint8
		// Aligned for the one 64-bit number among the events.
		payload [9]uint64
	}
	rawSubscribed struct {
		topic     rawList
		position  rawOption
		recovered bool
	}
	rawDelivery struct {
		topic    rawList
		message  rawMessage
		position rawOption
	}
	rawGap struct {
		topic    rawList
		position rawOption
	}
	rawMembers struct {
		topic   rawList
		count   uint64
		members rawList
	}
	rawMemberChange struct{ topic, member rawList }
	rawRefusal      struct {
		topic     rawList
		operation TopicOperation
		reason    rawList
	}
	rawResponse struct {
		status       uint16
		fields, body rawList
	}
	rawOrigins struct {
		tag      uint8
		patterns rawList
	}
	rawSettings struct {
		isSome         uint8
		origins        rawOrigins
		compress       bool
		maxMessageSize uint32
	}
	rawAccept struct {
		subprotocol rawOption
		fields      rawList
		settings    rawSettings
	}
	rawPublication struct {
		channel rawList
		message rawMessage
	}
	rawStart struct {
		tag uint8
		// A number, or a string.
		value rawList
	}
	rawHistory struct {
		isSome         uint8
		count, seconds uint32
	}
	rawSubscription struct {
		topic        rawList
		start        rawStart
		keep         rawHistory
		member       rawOption
		watchMembers bool
		receiver     Receiver
	}
	rawAction struct {
		tag     uint8
		payload [12]uint32
	}
)

// The answer to a call, which the caller reads here.
var answer rawList

// The values that the caller reads, kept alive: the garbage collector does not recognise addresses of 32 bits.
var held []unsafe.Pointer

//go:wasmexport wasocket:websocket/app@0.1.0#handle
func handle(connection, connectionLen, state, stateLen, events, eventsLen uint32) unsafe.Pointer {
	name := rawList{connection, connectionLen}.text()
	before := rawList{state, stateLen}.bytes()
	lifted := make([]Event, eventsLen)
	for i, event := range lift[rawEvent](rawList{events, eventsLen}) {
		lifted[i] = event.lift()
	}
	argumentsUsed = argumentsFloor
	answer = call(name, before, lifted)
	return unsafe.Pointer(&answer)
}

// A panic costs the one connection: recovered from here, it would otherwise end the instance.
func call(connection string, state []byte, events []Event) (raw rawList) {
	defer func() {
		if reason := recover(); reason != nil {
			raw = lower([]Action{Fail(fmt.Sprintf("panic: %v\n\n%s", reason, debug.Stack()))})
		}
	}()
	return lower(handler(connection, state, events))
}

func lower(actions []Action) rawList {
	raw := make([]rawAction, len(actions))
	for i, action := range actions {
		action.lower(&raw[i])
	}
	return list(raw)
}

// The caller has read the answer.
//
//go:wasmexport cabi_post_wasocket:websocket/app@0.1.0#handle
func posted(unsafe.Pointer) {
	clear(held)
	held = held[:0]
}

// Memory for the arguments of a call: 256 KiB of messages, or a single message of up to 4 MiB, a request head, and
// ample space for the rest. It is not part of the heap, since a garbage collection would ask for the time, and no
// import may be called while the arguments are written (CanonicalABI.md, may_leave).
var (
	arguments      [8 << 20 / 8]uint64
	argumentsUsed  uint32
	argumentsFloor uint32
)

// By now the adapter of wasi_snapshot_preview1 has taken the memory that it needs, which it keeps.
func init() { argumentsFloor = argumentsUsed }

// Panics, which ends the instance, if the memory does not suffice.
//
//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, _, size uint32) unsafe.Pointer {
	memory := arguments[argumentsUsed:][:(size+7)/8]
	argumentsUsed += uint32(len(memory))
	address := unsafe.Pointer(unsafe.SliceData(memory))
	copy(unsafe.Slice((*byte)(address), size), unsafe.Slice((*byte)(old), oldSize))
	return address
}

func hold[T any](values []T) unsafe.Pointer {
	address := unsafe.Pointer(unsafe.SliceData(values))
	held = append(held, address)
	return address
}

// Lowers a slice, and keeps it for the caller to read.
func list[T any](values []T) rawList {
	return rawList{uint32(uintptr(hold(values))), uint32(len(values))}
}

func text(value string) rawList {
	return list(unsafe.Slice(unsafe.StringData(value), len(value)))
}

func option(value string) rawOption {
	if value == "" {
		return rawOption{}
	}
	return rawOption{1, text(value)}
}

func fields(fields []Field) rawList {
	raw := make([]rawField, len(fields))
	for i, field := range fields {
		raw[i] = rawField{text(field.Name), text(field.Value)}
	}
	return list(raw)
}

// The values that the caller has written, valid until the next call.
func lift[T any](list rawList) []T {
	if list.length == 0 {
		return nil
	}
	address := uintptr(list.address)
	return unsafe.Slice(*(**T)(unsafe.Pointer(&address)), list.length)
}

func (list rawList) text() string  { return string(lift[byte](list)) }
func (list rawList) bytes() []byte { return slices.Clone(lift[byte](list)) }

// Empty if there is none: the caller then leaves the payload unset.
func (option rawOption) text() string {
	if option.isSome == 0 {
		return ""
	}
	return option.value.text()
}

func (event *rawEvent) lift() Event {
	payload := unsafe.Pointer(&event.payload)
	switch event.tag {
	case 0:
		return (*rawRequest)(payload).lift()
	case 1:
		return Open{(*rawRequest)(payload).lift()}
	case 2:
		return (*rawMessage)(payload).lift()
	case 3:
		closed := (*rawClose)(payload)
		return Closed{closed.code, closed.reason.text()}
	default:
		return liftTopicEvent(event.tag, payload)
	}
}

func liftTopicEvent(tag uint8, payload unsafe.Pointer) Event {
	switch tag {
	case 4:
		raw := (*rawSubscribed)(payload)
		return Subscribed{raw.topic.text(), raw.position.text(), raw.recovered}
	case 5:
		raw := (*rawDelivery)(payload)
		return Published{raw.topic.text(), raw.message.lift(), raw.position.text()}
	case 6:
		raw := (*rawGap)(payload)
		return Gap{raw.topic.text(), raw.position.text()}
	case 7:
		return (*rawMembers)(payload).lift()
	case 8:
		raw := (*rawMemberChange)(payload)
		return Joined{raw.topic.text(), raw.member.bytes()}
	case 9:
		raw := (*rawMemberChange)(payload)
		return Left{raw.topic.text(), raw.member.bytes()}
	default:
		raw := (*rawRefusal)(payload)
		return Refused{raw.topic.text(), raw.operation, raw.reason.text()}
	}
}

func (raw *rawMembers) lift() Members {
	members := make([][]byte, raw.members.length)
	for i, member := range lift[rawList](raw.members) {
		members[i] = member.bytes()
	}
	return Members{raw.topic.text(), raw.count, members}
}

func (request *rawRequest) lift() Request {
	fields := make([]Field, request.fields.length)
	for i, field := range lift[rawField](request.fields) {
		fields[i] = Field{field.name.text(), field.value.text()}
	}
	return Request{
		Method:   request.method.text(),
		Target:   request.target.text(),
		Version:  request.version,
		Host:     request.authority.text(),
		Protocol: request.protocol.text(),
		Fields:   fields,
		Secure:   request.secure,
		Remote:   request.remote.text(),
	}
}

func (message *rawMessage) lift() Message {
	if message.tag == 0 {
		return Text(message.payload.text())
	}
	return Binary(message.payload.bytes())
}

func (message Text) message() rawMessage   { return rawMessage{0, text(string(message))} }
func (message Binary) message() rawMessage { return rawMessage{1, list(message)} }

func (action Respond) lower(raw *rawAction) {
	set(raw, 0, rawResponse{action.Status, fields(action.Fields), list(action.Body)})
}

func (action Accept) lower(raw *rawAction) {
	accept := rawAccept{subprotocol: option(action.Subprotocol), fields: fields(action.Fields)}
	if settings := action.Settings; settings != nil {
		origins := settings.Origins.lower()
		accept.settings = rawSettings{1, origins, settings.Compress, settings.MaxMessageSize}
	}
	set(raw, 1, accept)
}

func (origins Origins) lower() rawOrigins {
	switch {
	case origins.DangerouslyAllowAny:
		return rawOrigins{tag: 2}
	case len(origins.Patterns) == 0:
		return rawOrigins{tag: 0}
	}
	raw := make([]rawList, len(origins.Patterns))
	for i, pattern := range origins.Patterns {
		raw[i] = text(pattern)
	}
	return rawOrigins{1, list(raw)}
}

func (action Send) lower(raw *rawAction)  { set(raw, 2, action.message()) }
func (action Close) lower(raw *rawAction) { set(raw, 3, rawClose{action.Code, text(action.Reason)}) }

func (action SetState) lower(raw *rawAction)    { set(raw, 4, list(action)) }
func (action Subscribe) lower(raw *rawAction)   { set(raw, 5, text(string(action))) }
func (action Unsubscribe) lower(raw *rawAction) { set(raw, 6, text(string(action))) }

func (action ListMembers) lower(raw *rawAction) { set(raw, 10, text(string(action))) }
func (action Fail) lower(raw *rawAction)        { set(raw, 11, text(string(action))) }

func (action Publish) lower(raw *rawAction) {
	set(raw, 7, rawPublication{text(action.Channel), action.Message.message()})
}

func (action PublishToOthers) lower(raw *rawAction) {
	set(raw, 8, rawPublication{text(action.Channel), action.Message.message()})
}

func (action SubscribeWith) lower(raw *rawAction) {
	subscription := rawSubscription{
		topic:        text(action.Topic),
		start:        action.start(),
		watchMembers: action.WatchMembers,
		receiver:     action.Receiver,
	}
	if keep := action.Keep; keep != (History{}) {
		subscription.keep = rawHistory{1, keep.Count, keep.Seconds}
	}
	if action.Member != nil {
		subscription.member = rawOption{1, list(action.Member)}
	}
	set(raw, 9, subscription)
}

func (action SubscribeWith) start() rawStart {
	switch {
	case action.After != "":
		return rawStart{2, text(action.After)}
	case action.Last != 0:
		// The number is where a string would have its address.
		return rawStart{1, rawList{address: action.Last}}
	}
	return rawStart{}
}

func set[T any](raw *rawAction, tag uint8, payload T) {
	raw.tag = tag
	*(*T)(unsafe.Pointer(&raw.payload)) = payload
}

// A payload longer than the space for it would overwrite the next value, so it must not compile.
var (
	_ [unsafe.Sizeof(rawAction{}.payload) - unsafe.Sizeof(rawAccept{})]byte
	_ [unsafe.Sizeof(rawAction{}.payload) - unsafe.Sizeof(rawSubscription{})]byte
	_ [unsafe.Sizeof(rawEvent{}.payload) - unsafe.Sizeof(rawRequest{})]byte
)
