// Command server is an echo server made with gorilla/websocket, for `wasocket connect`. tests/peers/run describes
// its paths.
package main

import (
	"io"
	"log"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"../../serving"
)

// The small buffer makes /big, and all compressed messages, go out in many frames.
var upgrader = websocket.Upgrader{
	Subprotocols:      []string{"chat"},
	EnableCompression: true,
	WriteBufferSize:   1000,
}

func main() {
	http.HandleFunc("/", upgraded(echo))
	http.HandleFunc("/close", upgraded(closeAtOnce))
	http.HandleFunc("/big", upgraded(sendBig))
	serving.Run()
}

func upgraded(converse func(*websocket.Conn) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			log.Print(err)
			return
		}
		defer conn.Close()
		if err := converse(conn); !websocket.IsCloseError(err, websocket.CloseNormalClosure, serving.CloseCode) {
			log.Print(err)
		}
	}
}

// echo ends with the connection; by then the library has answered the Close frame.
func echo(conn *websocket.Conn) error {
	for {
		messageType, payload, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(messageType, payload); err != nil {
			return err
		}
	}
}

func closeAtOnce(conn *websocket.Conn) error {
	payload := websocket.FormatCloseMessage(serving.CloseCode, serving.CloseReason)
	if err := conn.WriteControl(websocket.CloseMessage, payload, time.Now().Add(time.Second)); err != nil {
		return err
	}
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return err
		}
	}
}

func sendBig(conn *websocket.Conn) error {
	// Not WriteMessage, which sends an uncompressed message in one frame.
	message, err := conn.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(message, serving.Big); err != nil {
		return err
	}
	if err := message.Close(); err != nil {
		return err
	}
	return echo(conn)
}
