// Command hub is a room made with gorilla/websocket, in the way of its chat example: a hub that owns the members, and
// for each member a goroutine that reads and one that writes. Unlike there, messages that wait for a member are not
// joined into one.
package main

import (
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"../serving"
)

const (
	writeWait  = 10 * time.Second
	pongWait   = 60 * time.Second
	pingPeriod = pongWait * 9 / 10
)

var upgrader = websocket.Upgrader{EnableCompression: true}

type message struct {
	kind    int
	payload []byte
}

type client struct {
	hub  *hub
	conn *websocket.Conn
	send chan message
}

type hub struct {
	members    map[*client]bool
	broadcast  chan message
	register   chan *client
	unregister chan *client
}

func main() {
	h := &hub{
		members:    make(map[*client]bool),
		broadcast:  make(chan message),
		register:   make(chan *client),
		unregister: make(chan *client),
	}
	go h.run()
	http.HandleFunc("/", h.serve)
	serving.Run()
}

func (h *hub) run() {
	for {
		select {
		case c := <-h.register:
			h.members[c] = true
		case c := <-h.unregister:
			h.remove(c)
		case m := <-h.broadcast:
			for c := range h.members {
				select {
				case c.send <- m:
				default:
					h.remove(c)
				}
			}
		}
	}
}

func (h *hub) remove(c *client) {
	if h.members[c] {
		delete(h.members, c)
		close(c.send)
	}
}

// serve ignores errors: the load generator resets its connections.
func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &client{hub: h, conn: conn, send: make(chan message, 256)}
	if r.URL.Path != "/idle" {
		h.register <- c
	}
	go c.write()
	go c.read()
}

func (c *client) read() {
	defer func() {
		c.hub.unregister <- c
		c.conn.Close()
	}()
	c.conn.SetReadDeadline(time.Now().Add(pongWait))
	c.conn.SetPongHandler(func(string) error { return c.conn.SetReadDeadline(time.Now().Add(pongWait)) })
	for {
		kind, payload, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		c.hub.broadcast <- message{kind, payload}
	}
}

func (c *client) write() {
	ticker := time.NewTicker(pingPeriod)
	defer func() {
		ticker.Stop()
		c.conn.Close()
	}()
	for {
		select {
		case m, ok := <-c.send:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if !ok || c.conn.WriteMessage(m.kind, m.payload) != nil {
				return
			}
		case <-ticker.C:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if c.conn.WriteMessage(websocket.PingMessage, nil) != nil {
				return
			}
		}
	}
}
