// Package serving has everything that the Go servers share, except the WebSocket library.
package serving

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	timeLimit = 50 * time.Second // the whole run

	// CloseCode and CloseReason are sent by /close.
	CloseCode   = 4321
	CloseReason = "enough"
)

// Big is sent by /big: 1 MiB of text, with characters of one to four bytes.
var Big = strings.Repeat("Gruß 世界🦀", 1<<16)

// Run serves the handlers registered with net/http, and /refuse, on a free port, and prints its URL. It exits at
// the end of stdin.
func Run() {
	time.AfterFunc(timeLimit, func() { log.Fatal("still serving after ", timeLimit) })
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	http.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not for you", http.StatusForbidden)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("ws://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
