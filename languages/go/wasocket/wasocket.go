// Package wasocket has the types of an app, as defined in wit/app.wit: events in, actions out.
//
//	func init() { wasocket.Export(handle) }
//
//	func handle(connection string, state []byte, events []wasocket.Event) []wasocket.Action
package wasocket

// A Handler answers events on one connection with actions.
//
// The name of the connection is unique. The state is that of its last [SetState], nil before the first. There is at
// least one event; if there are several, all are messages. The actions must not be changed after the call.
type Handler func(connection string, state []byte, events []Event) []Action

var handler Handler

// Export makes a function the app. Call it from an init function: main is never called.
func Export(handle Handler) { handler = handle }

// An Event is a [Request], an [Open], a [Message], or [Closed]; or one of the events of a topic, in topics.go.
//
// There may be more kinds in a later version: leave alone what you do not know.
type Event interface{ event() }

// A Request does not ask for a WebSocket. It is answered by one [Respond], and with status 404 if there is none.
type Request struct {
	// The method, and the path with its query.
	Method, Target string
	// The version of the request, such as [HTTP11].
	Version Version
	// The host that the request is for, with its port if the client gave one: that of an absolute target, of :authority,
	// or of Host.
	Host string
	// The pseudo-header :protocol, empty in HTTP/1.
	Protocol string
	// All field lines. Names are compared without regard to ASCII case.
	Fields []Field
	// Whether the request came over TLS.
	Secure bool
	// The address of the peer, for logs; may be empty.
	Remote string
}

// A Version is a version of HTTP.
type Version uint8

// The versions of HTTP.
const (
	HTTP10 Version = iota
	HTTP11
	HTTP2
	HTTP3
)

// A Field is a line of a head. The value need not be UTF-8.
type Field struct{ Name, Value string }

// Open is a request for a WebSocket. It is answered by one [Accept] or [Respond], and with status 404 if there is
// neither.
type Open struct{ Request }

// A Message is a whole message: [Text] or [Binary].
type Message interface {
	Event
	message() rawMessage
}

// Text is a text message in UTF-8. Sending one with other bytes ends the instance.
type Text string

// Binary is a binary message.
type Binary []byte

// Closed is the end of a WebSocket, with the code and reason of a browser's CloseEvent. It is the last event.
type Closed struct {
	Code   uint16
	Reason string
}

func (Request) event() {}
func (Open) event()    {}
func (Text) event()    {}
func (Binary) event()  {}
func (Closed) event()  {}

// An Action is something for the host to do.
type Action interface{ lower(*rawAction) }

// Respond answers a request, or refuses a WebSocket, with a status from 200 to 599.
type Respond struct {
	Status uint16
	Fields []Field
	Body   []byte
}

// Accept completes the opening handshake.
type Accept struct {
	// The subprotocol to select if the client offers it; may be empty.
	Subprotocol string
	// Further fields of the response, such as Set-Cookie.
	Fields []Field
	// Nil for the defaults: pages of the same origin, no compression, messages of up to 1 MiB.
	Settings *Settings
}

// Settings are the protocol's settings for one connection.
type Settings struct {
	Origins Origins
	// Whether to compress messages if the client offers compression (RFC 7692).
	Compress bool
	// The longest message to receive, in bytes; up to 4 MiB.
	MaxMessageSize uint32
}

// Origins are the pages from which browsers may connect: the server's own, and those that match a pattern, such as
// https://*.example.com or http://localhost:*.
type Origins struct {
	Patterns []string
	// Lets every page connect. Only for servers that do not recognise users by anything a browser sends by itself, such
	// as cookies.
	DangerouslyAllowAny bool
}

// Send sends a message to the peer.
type Send struct{ Message }

// Close starts the closing handshake, with a reason that is cut after 123 bytes.
type Close struct {
	Code   uint16
	Reason string
}

// SetState sets the state of the connection for its next call: at most 2,048 bytes.
type SetState []byte

// Fail says that the app has failed, and why: the connection is closed with 1011, or the request answered with status
// 500, and the operator's log has the text. It is the answer to a panic.
type Fail string
