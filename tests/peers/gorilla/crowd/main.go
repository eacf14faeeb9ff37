// Command crowd is many clients of the app `numbered` (tests/guests/numbered) at once, made with gorilla/websocket. They
// check that nothing is lost, doubled, reordered or closed until the end of stdin.
//
//	crowd ws://127.0.0.1:PORT
//
// It prints `ready` once the clients that stay are connected, and in the end what they have counted. Violations are
// printed to stderr, and the exit code is then 1.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	timeLimit  = 150 * time.Second
	drainLimit = 30 * time.Second

	staying  = 300 // clients that stay, and of these the number in a room
	roomSize = 10
	visiting = 34 // clients that come and go, at any time

	// Less than a long message: gorilla sends those in fragments of this size.
	writeBuffer = 16 << 10
)

var (
	server  string
	stopped atomic.Bool
	counts  struct{ Told, Said, Published, Heard, Pongs, Visits atomic.Int64 }
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: crowd ws://HOST:PORT")
		os.Exit(2)
	}
	server = strings.TrimSuffix(os.Args[1], "/")
	time.AfterFunc(timeLimit, func() { fail(errors.New("not over after " + timeLimit.String())) })
	var clients []*client
	for i := 0; i < staying; i++ {
		c := join(fmt.Sprintf("g%d", i/roomSize), fmt.Sprintf("g%d", i), i%2 == 0)
		c.say('e', websocket.TextMessage, "here")
		c.drain()
		c.isFirst = true
		clients = append(clients, c)
	}
	fmt.Println("ready")
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stopped.Store(true)
	}()
	var busy sync.WaitGroup
	each := func(run func()) {
		busy.Add(1)
		go func() { defer busy.Done(); run() }()
	}
	for _, c := range clients {
		each(c.talk)
	}
	for i := 0; i < visiting; i++ {
		i := i
		each(func() { visit(i) })
	}
	busy.Wait()
	for _, c := range clients {
		c.drain()
	}
	for i, c := range clients {
		room := clients[i/roomSize*roomSize:][:roomSize]
		c.waitUntil("all publications", func() bool { return c.hasHeard(room) })
	}
	for _, c := range clients {
		c.leave()
	}
	report, _ := json.Marshal(map[string]int64{
		"told": counts.Told.Load(), "said": counts.Said.Load(), "published": counts.Published.Load(),
		"heard": counts.Heard.Load(), "pongs": counts.Pongs.Load(), "visits": counts.Visits.Load(),
	})
	fmt.Println(string(report))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "FAILED", err)
	os.Exit(1)
}

// A message that is on its way.
type message struct {
	number  int
	payload string
}

type client struct {
	name string
	conn *websocket.Conn

	mu        sync.Mutex
	told      int // messages, of both kinds
	echoes    []message
	said      int // by the app
	own       []message
	published int // by this client
	heard     map[string]int
	pings     []string
	// Whether it joined before anyone published in the room.
	isFirst   bool
	isLeaving bool
	ended     chan struct{}
}

func join(room, name string, compresses bool) *client {
	dialer := websocket.Dialer{EnableCompression: compresses, WriteBufferSize: writeBuffer, HandshakeTimeout: 20 * time.Second}
	conn, _, err := dialer.Dial(server+"/"+room+"?"+name, nil)
	if err != nil {
		fail(fmt.Errorf("%s cannot connect: %w", name, err))
	}
	c := &client{name: name, conn: conn, heard: map[string]int{}, ended: make(chan struct{})}
	conn.SetPongHandler(c.onPong)
	go c.read()
	return c
}

// Sends messages of all kinds, about one a second.
func (c *client) talk() {
	for i := rand.Intn(16); !stopped.Load(); i++ {
		switch i % 16 {
		case 0:
			c.say('e', websocket.BinaryMessage, strings.Repeat("long", 16<<10))
		case 1, 9:
			c.sayInFragments()
		case 2, 7, 12:
			c.say('p', websocket.TextMessage, "to all")
		case 3, 11:
			c.ping()
		case 4:
			c.say('e', websocket.TextMessage, strings.Repeat("compressible ", 200))
		default:
			c.say('e', websocket.TextMessage, "short")
		}
		time.Sleep(time.Duration(500+rand.Intn(1000)) * time.Millisecond)
	}
}

// Comes and goes, until the end.
func visit(i int) {
	for n := 0; !stopped.Load(); n++ {
		c := join(fmt.Sprintf("g%d", i%(staying/roomSize)), fmt.Sprintf("v%d-%d", i, n), n%2 == 0)
		for _, kind := range []byte("epee") {
			c.say(kind, websocket.TextMessage, "a visit")
			time.Sleep(time.Duration(rand.Intn(500)) * time.Millisecond)
		}
		c.drain()
		c.leave()
		counts.Visits.Add(1)
	}
}

func (c *client) say(kind byte, messageType int, payload string) {
	head := c.number(kind, payload)
	if err := c.conn.WriteMessage(messageType, []byte(head+payload)); err != nil {
		fail(fmt.Errorf("%s cannot send: %w", c.name, err))
	}
}

// The head of the next message, which is then on its way.
func (c *client) number(kind byte, payload string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told++
	counts.Told.Add(1)
	sent := message{c.told, payload}
	if kind == 'p' {
		c.own = append(c.own, sent)
		c.published++
		counts.Published.Add(1)
	} else {
		c.echoes = append(c.echoes, sent)
	}
	return fmt.Sprintf("%d %c\n", c.told, kind)
}

// Sends fragments, with pauses between them and within one.
func (c *client) sayInFragments() {
	payload := strings.Repeat("fragment ", 5000)
	text := c.number('e', payload) + payload
	writer, err := c.conn.NextWriter(websocket.TextMessage)
	for err == nil && text != "" {
		part := text[:min(10_000, len(text))]
		text = text[len(part):]
		_, err = io.WriteString(writer, part)
		time.Sleep(20 * time.Millisecond)
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		fail(fmt.Errorf("%s cannot send fragments: %w", c.name, err))
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func (c *client) ping() {
	payload := strconv.Itoa(rand.Int())
	c.mu.Lock()
	c.pings = append(c.pings, payload)
	c.mu.Unlock()
	if err := c.conn.WriteControl(websocket.PingMessage, []byte(payload), time.Now().Add(drainLimit)); err != nil {
		fail(fmt.Errorf("%s cannot ping: %w", c.name, err))
	}
}

func (c *client) onPong(payload string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pings) == 0 || c.pings[0] != payload {
		fail(fmt.Errorf("%s expected a pong of %v, got %q", c.name, c.pings, payload))
	}
	c.pings = c.pings[1:]
	counts.Pongs.Add(1)
	return nil
}

func (c *client) read() {
	defer close(c.ended)
	for {
		_, bytes, err := c.conn.ReadMessage()
		c.mu.Lock()
		if err != nil {
			if !c.isLeaving || !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				fail(fmt.Errorf("%s: %w", c.name, err))
			}
			c.mu.Unlock()
			return
		}
		c.on(bytes)
		c.mu.Unlock()
	}
}

func (c *client) on(text []byte) {
	head, payload, _ := bytes.Cut(text, []byte("\n"))
	words := strings.Split(string(head), " ")
	last, _ := strconv.Atoi(words[len(words)-1])
	got := message{last, string(payload)}
	if len(words) == 2 {
		c.said++
		counts.Said.Add(1)
		c.expect(words[0] == strconv.Itoa(c.said), c.said, head)
		c.echoes = c.next(c.echoes, got)
		return
	}
	counts.Heard.Add(1)
	name := words[0]
	number, _ := strconv.Atoi(words[1])
	before, isKnown := c.heard[name]
	c.expect(number == before+1 || !isKnown && !c.isFirst, before+1, head)
	c.heard[name] = number
	if name == c.name {
		c.own = c.next(c.own, got)
	}
}

func (c *client) expect(holds bool, expected int, head []byte) {
	if !holds {
		fail(fmt.Errorf("%s expected number %d, got %q", c.name, expected, head))
	}
}

func (c *client) next(waiting []message, got message) []message {
	if len(waiting) == 0 || waiting[0] != got {
		fail(fmt.Errorf("%s expected the first of %d messages, got %d of %d bytes", c.name, len(waiting), got.number, len(got.payload)))
	}
	return waiting[1:]
}

func (c *client) hasHeard(room []*client) bool {
	for _, other := range room {
		// All publishers have stopped.
		if c.heard[other.name] != other.published {
			return false
		}
	}
	return true
}

// Waits until everything that is on its way has arrived.
func (c *client) drain() {
	c.waitUntil("what is on its way", func() bool { return len(c.echoes)+len(c.own)+len(c.pings) == 0 })
}

func (c *client) waitUntil(what string, holds func() bool) {
	for end := time.Now().Add(drainLimit); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		isOver := holds()
		c.mu.Unlock()
		if isOver {
			return
		}
		if time.Now().After(end) {
			fail(fmt.Errorf("%s still waits for %s: %d echoes, %d publications, %d pongs", c.name, what, len(c.echoes), len(c.own), len(c.pings)))
		}
	}
}

func (c *client) leave() {
	c.mu.Lock()
	c.isLeaving = true
	c.mu.Unlock()
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := c.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(drainLimit)); err != nil {
		fail(fmt.Errorf("%s cannot close: %w", c.name, err))
	}
	<-c.ended
	c.conn.Close()
}
