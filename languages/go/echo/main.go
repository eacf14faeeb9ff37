// An echo: every message comes back unchanged.
package main

import "wasocket-examples/wasocket"

func init() { wasocket.Export(handle) }

func main() {}

func handle(_ string, _ []byte, events []wasocket.Event) (actions []wasocket.Action) {
	for _, event := range events {
		switch event := event.(type) {
		case wasocket.Open:
			actions = append(actions, wasocket.Accept{Subprotocol: "echo"})
		case wasocket.Message:
			actions = append(actions, wasocket.Send{Message: event})
		}
	}
	return actions
}
