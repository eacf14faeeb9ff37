// Command gorilla is a client of the default app, made with gorilla/websocket.
//
//	gorilla ws://127.0.0.1:PORT
//
// It prints one line per check and stops at the first failure.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const (
	timeLimit     = 50 * time.Second // the whole run
	exchangeLimit = 10 * time.Second // one connection

	messageLimit  = 1 << 20 // the server's default
	foreignOrigin = "http://foreign.example"
)

var checks = []struct {
	name string
	run  func(server string) error
}{
	{"every message comes back from /echo, at each payload length encoding", echoesEveryLength},
	{"a message sent in fragments comes back whole", echoesFragmentedMessage},
	{"the server's order decides on the subprotocol", negotiatesSubprotocol},
	{"a ping between fragments is answered before the message ends", answersPingBetweenFragments},
	{"the closing handshake echoes the close code, then the server drops TCP", echoesCloseCode},
	{"a fragmented message over the limit fails the connection with 1009", refusesTooBigInFragments},
	{"one frame over the limit fails the connection with 1009", refusesTooBigInOneFrame},
	{"a text message that is not UTF-8 fails the connection with 1007", refusesInvalidUTF8},
	{"the server's own origin is accepted", acceptsOwnOrigin},
	{"a foreign origin is refused with 403 and a reason", refusesForeignOrigin},
	{"/ answers what it received", answersReceived},
	{"permessage-deflate without context takeover: agreed, and used both ways", compresses},
	{"a compressed message in fragments comes back whole", echoesCompressedFragments},
	{"a small compressed message that inflates over the limit fails the connection with 1009", refusesTooBigInflated},
	{"a plain GET of / returns an HTML page", servesPage},
	{"a plain GET of /echo is told to upgrade", asksForUpgrade},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gorilla ws://HOST:PORT")
		os.Exit(2)
	}
	server := strings.TrimSuffix(os.Args[1], "/")
	time.AfterFunc(timeLimit, func() { fail("time limit", errors.New("the run is not over after "+timeLimit.String())) })
	for _, check := range checks {
		if err := check.run(server); err != nil {
			fail(check.name, err)
		}
		fmt.Println("ok", check.name)
	}
}

func fail(name string, err error) {
	fmt.Fprintf(os.Stderr, "FAILED %s: %v\n", name, err)
	os.Exit(1)
}

// Messages

func echoesEveryLength(server string) error {
	conn, err := dial(server + "/echo")
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, length := range []int{0, 1, 125, 126, 65535, 65536, messageLimit} {
		if err := expectEcho(conn, websocket.TextMessage, bytes.Repeat([]byte("x"), length)); err != nil {
			return err
		}
		if err := expectEcho(conn, websocket.BinaryMessage, binaryPayload(length)); err != nil {
			return err
		}
	}
	return nil
}

func echoesFragmentedMessage(server string) error {
	conn, err := dialWithWriteBuffer(server+"/echo", 16)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Every flush of the small buffer is a frame, so characters are split between fragments.
	if err := expectEcho(conn, websocket.TextMessage, []byte(strings.Repeat("Grüße, 世界 🦀 ", 500))); err != nil {
		return err
	}
	return expectEcho(conn, websocket.BinaryMessage, binaryPayload(10_000))
}

func answersReceived(server string) error {
	conn, err := dial(server + "/")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		return err
	}
	return expectMessage(conn, websocket.TextMessage, []byte("Received:  hello"))
}

// Control frames

func answersPingBetweenFragments(server string) error {
	conn, err := dialWithWriteBuffer(server+"/echo", 16)
	if err != nil {
		return err
	}
	defer conn.Close()

	pongs := make(chan string, 1)
	conn.SetPongHandler(func(payload string) error { pongs <- payload; return nil })
	sent := binaryPayload(1000)
	echoed := make(chan error, 1)
	go func() { echoed <- expectMessage(conn, websocket.BinaryMessage, sent) }()

	message, err := conn.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	if _, err := message.Write(sent[:500]); err != nil {
		return err
	}
	if err := conn.WriteControl(websocket.PingMessage, []byte("still there?"), deadline()); err != nil {
		return err
	}
	select {
	case payload := <-pongs:
		if payload != "still there?" {
			return fmt.Errorf("pong carries %q", payload)
		}
	case err := <-echoed:
		return fmt.Errorf("the message ended before the pong: %v", err)
	case <-time.After(exchangeLimit):
		return errors.New("no pong")
	}
	if _, err := message.Write(sent[500:]); err != nil {
		return err
	}
	if err := message.Close(); err != nil {
		return err
	}
	return <-echoed
}

func echoesCloseCode(server string) error {
	for _, code := range []int{websocket.CloseNormalClosure, websocket.CloseGoingAway, 3000, 4999} {
		conn, err := dial(server + "/echo")
		if err != nil {
			return err
		}
		defer conn.Close()
		payload := websocket.FormatCloseMessage(code, "goodbye")
		if err := conn.WriteControl(websocket.CloseMessage, payload, deadline()); err != nil {
			return err
		}
		if err := expectClose(conn, code); err != nil {
			return err
		}
		// RFC 6455 §7.1.1: "the underlying TCP connection, in most normal cases, SHOULD be closed
		// first by the server".
		if n, err := conn.UnderlyingConn().Read(make([]byte, 1)); err != io.EOF {
			return fmt.Errorf("after the closing handshake: %d byte(s), %v instead of end of stream", n, err)
		}
	}
	return nil
}

// Failing the connection

func refusesTooBigInFragments(server string) error {
	return expectTooBig(server, 4096)
}

func refusesTooBigInOneFrame(server string) error {
	return expectTooBig(server, 2*messageLimit)
}

func expectTooBig(server string, writeBuffer int) error {
	conn, err := dialWithWriteBuffer(server+"/echo", writeBuffer)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The server may refuse before it has read everything, so read meanwhile, and let the write fail.
	go conn.WriteMessage(websocket.BinaryMessage, make([]byte, messageLimit+1))
	return expectClose(conn, websocket.CloseMessageTooBig)
}

func refusesInvalidUTF8(server string) error {
	// A stray byte, an overlong form, a surrogate, and a character that never ends.
	for _, text := range []string{"a\xffb", "\xc0\xaf", "\xed\xa0\x80", "\xe4\xb8"} {
		conn, err := dial(server + "/echo")
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			return err
		}
		if err := expectClose(conn, websocket.CloseInvalidFramePayloadData); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
	}
	return nil
}

// Compression

func compresses(server string) error {
	conn, received, err := dialCompressed(server+"/echo", 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	compressible := bytes.Repeat([]byte("compressible "), 8000)
	noise := make([]byte, len(compressible))
	rand.New(rand.NewSource(1)).Read(noise)

	// Whether the server compresses does not depend on whether the client does.
	for _, compress := range []bool{true, false, true} {
		conn.EnableWriteCompression(compress)
		for _, c := range []struct {
			payload  []byte
			min, max int // bytes received
		}{
			{compressible, 1, len(compressible) / 50},
			{noise, len(noise), len(noise) + 10}, // 10: the header of the frame
			{nil, 2, 2},
			{[]byte("short"), 7, 7},
		} {
			before := received.count
			if err := expectEcho(conn, websocket.BinaryMessage, c.payload); err != nil {
				return fmt.Errorf("write compression %v: %w", compress, err)
			}
			if n := received.count - before; n < c.min || n > c.max {
				return fmt.Errorf("a message of %d bytes came back in %d bytes", len(c.payload), n)
			}
		}
	}
	return nil
}

func echoesCompressedFragments(server string) error {
	conn, _, err := dialCompressed(server+"/echo", 16)
	if err != nil {
		return err
	}
	defer conn.Close()
	return expectEcho(conn, websocket.TextMessage, []byte(strings.Repeat("Grüße, 世界 🦀 ", 5000)))
}

func refusesTooBigInflated(server string) error {
	for _, writeBuffer := range []int{0, 16} {
		conn, _, err := dialCompressed(server+"/echo", writeBuffer)
		if err != nil {
			return err
		}
		defer conn.Close()
		// Zeros deflate to a thousandth.
		if err := expectEcho(conn, websocket.BinaryMessage, make([]byte, messageLimit)); err != nil {
			return err
		}
		go conn.WriteMessage(websocket.BinaryMessage, make([]byte, messageLimit+1))
		if err := expectClose(conn, websocket.CloseMessageTooBig); err != nil {
			return err
		}
	}
	return nil
}

// Opening handshake

func negotiatesSubprotocol(server string) error {
	for _, c := range []struct {
		offered  []string
		selected string
	}{
		{[]string{"superchat", "chat"}, "chat"},
		{[]string{"superchat"}, "superchat"},
		{[]string{"other"}, ""},
		{nil, ""},
	} {
		dialer := websocket.Dialer{HandshakeTimeout: exchangeLimit, Subprotocols: c.offered}
		conn, _, err := dialer.Dial(server+"/echo", nil)
		if err != nil {
			return err
		}
		defer conn.Close()
		if conn.Subprotocol() != c.selected {
			return fmt.Errorf("offered %q, the server selected %q", c.offered, conn.Subprotocol())
		}
	}
	return nil
}

func acceptsOwnOrigin(server string) error {
	dialer := websocket.Dialer{HandshakeTimeout: exchangeLimit}
	conn, _, err := dialer.Dial(server+"/echo", http.Header{"Origin": {httpURL(server)}})
	if err != nil {
		return err
	}
	return conn.Close()
}

func refusesForeignOrigin(server string) error {
	dialer := websocket.Dialer{HandshakeTimeout: exchangeLimit}
	conn, response, err := dialer.Dial(server+"/echo", http.Header{"Origin": {foreignOrigin}})
	if err == nil {
		conn.Close()
		return errors.New("accepted")
	}
	if err != websocket.ErrBadHandshake {
		return err
	}
	if response.StatusCode != http.StatusForbidden {
		return fmt.Errorf("status %s", response.Status)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return errors.New("the response has no body")
	}
	return nil
}

func servesPage(server string) error {
	response, err := get(server + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	contentType := response.Header.Get("Content-Type")
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(contentType, "text/html") {
		return fmt.Errorf("status %s, Content-Type %q", response.Status, contentType)
	}
	return nil
}

func asksForUpgrade(server string) error {
	response, err := get(server + "/echo")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response to
	// indicate the required protocol(s)".
	upgrade := response.Header.Get("Upgrade")
	if response.StatusCode != http.StatusUpgradeRequired || !strings.EqualFold(upgrade, "websocket") {
		return fmt.Errorf("status %s, Upgrade %q", response.Status, upgrade)
	}
	return nil
}

// Helpers

func dial(url string) (*websocket.Conn, error) {
	return dialWithWriteBuffer(url, 0)
}

// dialWithWriteBuffer opens a connection whose messages are fragmented at size bytes (0: gorilla's default).
func dialWithWriteBuffer(url string, size int) (*websocket.Conn, error) {
	dialer := websocket.Dialer{HandshakeTimeout: exchangeLimit, WriteBufferSize: size}
	conn, _, err := dialer.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadDeadline(deadline())
	conn.SetWriteDeadline(deadline())
	return conn, nil
}

// dialCompressed opens a connection that uses permessage-deflate, and counts what it receives.
func dialCompressed(url string, writeBuffer int) (*websocket.Conn, *countingConn, error) {
	var counting *countingConn
	dialer := websocket.Dialer{
		HandshakeTimeout:  exchangeLimit,
		WriteBufferSize:   writeBuffer,
		EnableCompression: true,
		NetDial: func(network, address string) (net.Conn, error) {
			conn, err := net.Dial(network, address)
			counting = &countingConn{Conn: conn}
			return counting, err
		},
	}
	conn, response, err := dialer.Dial(url, nil)
	if err != nil {
		return nil, nil, err
	}
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	if extensions := response.Header.Get("Sec-WebSocket-Extensions"); extensions != agreed {
		conn.Close()
		return nil, nil, fmt.Errorf("the server agrees to %q", extensions)
	}
	conn.SetReadDeadline(deadline())
	conn.SetWriteDeadline(deadline())
	return conn, counting, nil
}

type countingConn struct {
	net.Conn
	count int // bytes received
}

func (c *countingConn) Read(buffer []byte) (int, error) {
	n, err := c.Conn.Read(buffer)
	c.count += n
	return n, err
}

func get(url string) (*http.Response, error) {
	client := http.Client{Timeout: exchangeLimit}
	return client.Get(httpURL(url))
}

func httpURL(url string) string {
	return "http" + strings.TrimPrefix(url, "ws")
}

func deadline() time.Time {
	return time.Now().Add(exchangeLimit)
}

func binaryPayload(length int) []byte {
	payload := make([]byte, length)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	return payload
}

func expectEcho(conn *websocket.Conn, messageType int, payload []byte) error {
	// A peer that reads only after it has written may deadlock with an echo, so write meanwhile.
	written := make(chan error, 1)
	go func() { written <- conn.WriteMessage(messageType, payload) }()
	if err := expectMessage(conn, messageType, payload); err != nil {
		return fmt.Errorf("message of %d bytes, type %d: %w", len(payload), messageType, err)
	}
	return <-written
}

func expectMessage(conn *websocket.Conn, messageType int, payload []byte) error {
	gotType, got, err := conn.ReadMessage()
	if err != nil {
		return err
	}
	if gotType != messageType || !bytes.Equal(got, payload) {
		return fmt.Errorf("received type %d, %d bytes: %.20q", gotType, len(got), got)
	}
	return nil
}

func expectClose(conn *websocket.Conn, code int) error {
	messageType, payload, err := conn.ReadMessage()
	if err == nil {
		return fmt.Errorf("expected close %d, received type %d, %d bytes: %.20q", code, messageType, len(payload), payload)
	}
	if !websocket.IsCloseError(err, code) {
		return fmt.Errorf("expected close %d: %w", code, err)
	}
	return nil
}
