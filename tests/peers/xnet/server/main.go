// Command server is an echo server made with golang.org/x/net/websocket, for `wasocket connect`. tests/peers/run
// describes its paths. The library has no compression, sends every message in one frame, and closes without a
// reason.
package main

import (
	"io"
	"log"
	"net/http"

	"golang.org/x/net/websocket"

	"../../serving"
)

func main() {
	http.Handle("/", server(echo))
	http.Handle("/close", server(closeAtOnce))
	http.Handle("/big", server(sendBig))
	serving.Run()
}

// server has a handshake of its own: the default one refuses clients without an Origin.
func server(handler websocket.Handler) websocket.Server {
	return websocket.Server{Handshake: selectSubprotocol, Handler: handler}
}

// selectSubprotocol reads the offered subprotocols from config, and leaves the selected one there.
func selectSubprotocol(config *websocket.Config, _ *http.Request) error {
	offered := config.Protocol
	config.Protocol = nil
	for _, name := range offered {
		if name == "chat" {
			config.Protocol = []string{name}
		}
	}
	return nil
}

// message keeps its type, which websocket.Message would have to know in advance.
type message struct {
	payload     []byte
	payloadType byte
}

var codec = websocket.Codec{
	Marshal: func(v interface{}) ([]byte, byte, error) {
		m := v.(message)
		return m.payload, m.payloadType, nil
	},
	Unmarshal: func(payload []byte, payloadType byte, v interface{}) error {
		*v.(*message) = message{payload, payloadType}
		return nil
	},
}

func echo(conn *websocket.Conn) {
	// The library does not answer a Close frame by itself.
	defer conn.Close()
	for {
		var m message
		err := codec.Receive(conn, &m)
		if err == nil {
			err = codec.Send(conn, m)
		}
		if err != nil {
			if err != io.EOF {
				log.Print(err)
			}
			return
		}
	}
}

func closeAtOnce(conn *websocket.Conn) {
	if err := conn.WriteClose(serving.CloseCode); err != nil {
		log.Print(err)
	}
	// Reads until the client's Close frame: closing a socket with unread data resets it.
	io.Copy(io.Discard, conn)
}

func sendBig(conn *websocket.Conn) {
	if err := websocket.Message.Send(conn, serving.Big); err != nil {
		log.Print(err)
	}
	echo(conn)
}
