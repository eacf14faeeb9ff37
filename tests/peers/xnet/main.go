// Command xnet is a client of the default app, made with golang.org/x/net/websocket, and a plain TCP client of
// /hijack.
//
//	xnet ws://127.0.0.1:PORT
//
// It prints one line per check and stops at the first failure.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/net/websocket"
)

const (
	timeLimit     = 50 * time.Second // the whole run
	exchangeLimit = 10 * time.Second // one connection

	foreignOrigin = "http://foreign.example"
)

var checks = []struct {
	name string
	run  func(server string) error
}{
	{"/ answers the classic client", answersReceived},
	{"Read and Write stream through /echo", echoesStream},
	{"JSON comes back from /echo", echoesJSON},
	{"[]byte comes back from /echo as binary", echoesBinary},
	{"a foreign origin is refused", refusesForeignOrigin},
	{"/hijack speaks raw TCP", speaksRawTCP},
	{"/hijack reads bytes sent with the request", readsResidualBytes},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: xnet ws://HOST:PORT")
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

// WebSocket

func answersReceived(server string) error {
	conn, err := dial(server, "/")
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, message := range []string{"hello", "", "Grüße, 世界 🦀"} {
		if err := websocket.Message.Send(conn, message); err != nil {
			return err
		}
		var answer string
		if err := websocket.Message.Receive(conn, &answer); err != nil {
			return err
		}
		if answer != "Received:  "+message {
			return fmt.Errorf("%q is answered with %q", message, answer)
		}
	}
	return nil
}

// echoesStream is the example of the package's documentation: a connection as io.ReadWriter.
func echoesStream(server string) error {
	conn, err := dial(server, "/echo")
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello, world!\n")); err != nil {
		return err
	}
	return expectBytes(conn, "hello, world!\n")
}

func echoesJSON(server string) error {
	conn, err := dial(server, "/echo")
	if err != nil {
		return err
	}
	defer conn.Close()
	type point struct {
		X, Y int
		Name string
	}
	sent := point{3, -4, "Zürich"}
	if err := websocket.JSON.Send(conn, sent); err != nil {
		return err
	}
	var received point
	if err := websocket.JSON.Receive(conn, &received); err != nil {
		return err
	}
	if received != sent {
		return fmt.Errorf("sent %+v, received %+v", sent, received)
	}
	return nil
}

func echoesBinary(server string) error {
	conn, err := dial(server, "/echo")
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, length := range []int{0, 125, 126, 65535, 65536} {
		sent := bytes.Repeat([]byte{0x00, 0xff, 0x80}, length/3+1)[:length]
		if err := websocket.Message.Send(conn, sent); err != nil {
			return err
		}
		var received message
		if err := messageCodec.Receive(conn, &received); err != nil {
			return err
		}
		if received.opcode != websocket.BinaryFrame || !bytes.Equal(received.payload, sent) {
			return fmt.Errorf("sent %d bytes, received %d with opcode %d", length, len(received.payload), received.opcode)
		}
	}
	return nil
}

// refusesForeignOrigin relies on the client to send an Origin, as browsers do.
func refusesForeignOrigin(server string) error {
	config, err := websocket.NewConfig(server+"/echo", foreignOrigin)
	if err != nil {
		return err
	}
	config.Dialer = &net.Dialer{Timeout: exchangeLimit, Deadline: time.Now().Add(exchangeLimit)}
	conn, err := websocket.DialConfig(config)
	if err == nil {
		conn.Close()
		return errors.New("accepted")
	}
	var dialError *websocket.DialError
	if !errors.As(err, &dialError) || dialError.Err != websocket.ErrBadStatus {
		return fmt.Errorf("expected ErrBadStatus: %w", err)
	}
	return nil
}

// Raw TCP

const (
	prompt = "Now we're speaking raw TCP. Say hi: "
	answer = "You said: \"hi\\n\"\nBye.\n"
)

func speaksRawTCP(server string) error {
	conn, err := requestHijack(server, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := expectBytes(conn, prompt); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "hi\n"); err != nil {
		return err
	}
	return expectUntilEOF(conn, answer)
}

func readsResidualBytes(server string) error {
	conn, err := requestHijack(server, "hi\n")
	if err != nil {
		return err
	}
	defer conn.Close()
	return expectUntilEOF(conn, prompt+answer)
}

// requestHijack sends the request head, with residual right after it in the same write.
func requestHijack(server, residual string) (net.Conn, error) {
	host := strings.TrimPrefix(server, "ws://")
	conn, err := net.DialTimeout("tcp", host, exchangeLimit)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(exchangeLimit))
	_, err = fmt.Fprintf(conn, "GET /hijack HTTP/1.1\r\nHost: %s\r\n\r\n%s", host, residual)
	return conn, err
}

// Helpers

// dial opens a connection with the server's own origin.
func dial(server, path string) (*websocket.Conn, error) {
	conn, err := websocket.Dial(server+path, "", "http"+strings.TrimPrefix(server, "ws"))
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(exchangeLimit))
}

// message keeps the opcode, which websocket.Message does not report.
type message struct {
	opcode  byte
	payload []byte
}

var messageCodec = websocket.Codec{
	Unmarshal: func(payload []byte, opcode byte, v interface{}) error {
		*v.(*message) = message{opcode, payload}
		return nil
	},
}

func expectBytes(r io.Reader, expected string) error {
	got := make([]byte, len(expected))
	n, err := io.ReadFull(r, got)
	return compare(got[:n], expected, err)
}

func expectUntilEOF(r io.Reader, expected string) error {
	got, err := io.ReadAll(r)
	return compare(got, expected, err)
}

func compare(got []byte, expected string, err error) error {
	if err != nil {
		return fmt.Errorf("after %q: %w", got, err)
	}
	if string(got) != expected {
		return fmt.Errorf("received %q instead of %q", got, expected)
	}
	return nil
}
