// Package serving has the code that the Go servers share: they listen, and print their address.
package serving

import (
	"fmt"
	"log"
	"net"
	"net/http"
)

// Run serves the handlers registered with net/http on a free port, and prints its address.
func Run() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
