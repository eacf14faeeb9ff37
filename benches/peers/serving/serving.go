// Package serving is what the Go servers have in common: where they listen, and that they say so.
package serving

import (
	"fmt"
	"log"
	"net"
	"net/http"
)

// Run serves what net/http was told to handle, on a free port that it prints.
func Run() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
