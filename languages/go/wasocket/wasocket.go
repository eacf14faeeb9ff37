// Package wasocket has what an app is made of, as wit/app.wit says it: events in, actions out.
//
//	func init() { wasocket.Export(handle) }
//
//	func handle(connection string, state []byte, events []wasocket.Event) []wasocket.Action
package wasocket

// A Handler says what is to be done about events on one connection.
//
// The name of the connection is no other's. The state is what its last [SetState] said, nil before. There is
// at least one event; several are messages. What is answered must not be changed afterwards.
type Handler func(connection string, state []byte, events []Event) []Action

var handler Handler

// Export makes a function the app. To be called by an init function: main is never called.
func Export(handle Handler) { handler = handle }

// An Event is what has happened: [Request], [Open], a [Message], or [Closed].
type Event interface{ event() }

// A Request is one that does not ask for a WebSocket. Answered by one [Respond]; if by none, with status 404.
type Request struct {
	// As received.
	Method, Target string
	// What the request came in, such as [HTTP11].
	Version Version
	// The pseudo-headers :authority and :protocol, empty in HTTP/1.
	Authority, Protocol string
	// All field lines. Names are compared without regard to ASCII case.
	Fields []Field
	// Whether it came over TLS.
	Secure bool
	// The address of the peer, for logs; may be empty.
	Remote string
}

// A Version is one of HTTP.
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

// Open is a client asking for a WebSocket. Answered by one [Accept] or [Respond]; if by neither, with status 404.
type Open struct{ Request }

// A Message is a whole one: [Text] or [Binary].
type Message interface {
	Event
	message() rawMessage
}

// Text is a message of text, UTF-8: other bytes in one that is sent end the instance.
type Text string

// Binary is a message of bytes.
type Binary []byte

// Closed is the end of a WebSocket, with code and reason as a browser's CloseEvent has them. The last event.
type Closed struct {
	Code   uint16
	Reason string
}

func (Request) event() {}
func (Open) event()    {}
func (Text) event()    {}
func (Binary) event()  {}
func (Closed) event()  {}

// An Action is what is to be done.
type Action interface{ lower(*rawAction) }

// Respond answers a request, or refuses a WebSocket: with a status of 200 to 599.
type Respond struct {
	Status uint16
	Fields []Field
	Body   []byte
}

// Accept completes the opening handshake.
type Accept struct {
	// The one that is selected, if the client offers it; may be empty.
	Subprotocol string
	// Further fields of the response, such as Set-Cookie.
	Fields []Field
	// Nil: pages of the same origin, no compression, messages of up to 1 MiB.
	Settings *Settings
}

// Settings are asked of the protocol for one connection.
type Settings struct {
	Origins Origins
	// Whether to compress where the client wants it, too (RFC 7692).
	Compress bool
	// The longest message to receive, in bytes; up to 4 MiB.
	MaxMessageSize uint32
}

// Origins are the pages from which browsers may connect: the server's own, and those that match a pattern, such as
// https://*.example.com or http://localhost:*.
type Origins struct {
	Patterns []string
	// Lets every page in. Only for servers that know their users by nothing that a browser adds by itself.
	DangerouslyAllowAny bool
}

// Send sends a message to the peer.
type Send struct{ Message }

// Close begins the closing handshake, with a reason of at most 123 bytes.
type Close struct {
	Code   uint16
	Reason string
}

// SetState says what the state of the connection is from the next call on: at most 2,048 bytes.
type SetState []byte

// Subscribe has the peer sent what is published to a channel, whose name has 1 to 128 bytes; up to 16 of them.
type Subscribe string

// Unsubscribe is the opposite.
type Unsubscribe string

// Publish sends a message to all peers that are subscribed to a channel, this one not excepted.
type Publish struct {
	Channel string
	Message Message
}
