// Command xnet is an echo made with golang.org/x/net/websocket.
package main

import (
	"net/http"

	"golang.org/x/net/websocket"

	"../serving"
)

func main() {
	// No handshake of its own: the default one refuses clients without an Origin.
	accept := func(*websocket.Config, *http.Request) error { return nil }
	http.Handle("/", websocket.Server{Handshake: accept, Handler: echo})
	serving.Run()
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
	defer conn.Close()
	for {
		var m message
		if codec.Receive(conn, &m) != nil || codec.Send(conn, m) != nil {
			return
		}
	}
}
