// Command gorilla is an echo made with gorilla/websocket.
package main

import (
	"net/http"

	"github.com/gorilla/websocket"

	"../serving"
)

var upgrader = websocket.Upgrader{EnableCompression: true}

func main() {
	http.HandleFunc("/", echo)
	serving.Run()
}

// echo ignores errors: the load generator resets its connections.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		messageType, payload, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if conn.WriteMessage(messageType, payload) != nil {
			return
		}
	}
}
