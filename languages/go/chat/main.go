// A chat: everyone connected to /rooms/ROOM?NAME sees what the others say there, and who is there.
//
// A member's name and number of messages are the state of their connection. The room is a topic that keeps 50 messages.
// /bye, /crash and /flood show how an app ends a connection, and how it fails.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	ws "wasocket-examples/wasocket"
)

type member struct {
	Room, Name string
	Said       int
	Plain      bool
}

func init() { ws.Export(handle) }

func main() {}

func handle(_ string, state []byte, events []ws.Event) (actions []ws.Action) {
	var m member
	if state != nil {
		if err := json.Unmarshal(state, &m); err != nil {
			panic(err)
		}
	}
	before := m
	for _, event := range events {
		actions = append(actions, m.on(event)...)
	}
	if m != before {
		actions = append(actions, m.save())
	}
	return actions
}

func (m member) save() ws.Action {
	state, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return ws.SetState(state)
}

func (m *member) on(event ws.Event) []ws.Action {
	switch event := event.(type) {
	case ws.Request:
		if event.Target == "/" {
			return []ws.Action{respond(200, "Connect to "+event.Host+"/rooms/ROOM?NAME\n")}
		}
	case ws.Open:
		return m.open(event.Target)
	case ws.Text:
		return m.hear(string(event))
	case ws.Binary:
		return []ws.Action{ws.Close{Code: 1003, Reason: "text only"}}
	case ws.Closed:
		// Clients that were refused have not joined.
		if m.Room != "" {
			return []ws.Action{m.say("%s left (%d)", m.Name, event.Code)}
		}
	case ws.Subscribed:
		return []ws.Action{m.say("%s joined", m.Name), ws.ListMembers(m.Room)}
	// In a room of thousands one would send the change, not the list.
	case ws.Joined, ws.Left:
		return []ws.Action{ws.ListMembers(m.Room)}
	case ws.Members:
		names := bytes.Join(event.Members, []byte(", "))
		return []ws.Action{ws.Send{Message: ws.Text("here: " + string(names))}}
	case ws.Gap:
		return []ws.Action{ws.Send{Message: ws.Text("some messages may be missing here")}}
	case ws.Refused:
		if event.Operation == ws.OperationSubscribe {
			return m.joinPlainly(event.Reason)
		}
	}
	return nil
}

func (m *member) open(target string) []ws.Action {
	path, name, _ := strings.Cut(target, "?")
	room, isRoom := strings.CutPrefix(path, "/rooms/")
	if !isRoom {
		return nil
	}
	if name == "" {
		return []ws.Action{respond(400, "Who are you? /rooms/ROOM?NAME\n")}
	}
	m.Room, m.Name = room, name
	return []ws.Action{ws.Accept{}, ws.SubscribeWith{
		Topic:        room,
		Last:         50,
		Keep:         ws.History{Count: 50, Seconds: 86_400},
		Member:       []byte(name),
		WatchMembers: true,
	}}
}

// Not every place where an app runs has history and members: the messages alone will do.
func (m *member) joinPlainly(reason string) []ws.Action {
	if m.Plain {
		return []ws.Action{ws.Close{Code: 1013, Reason: reason}}
	}
	m.Plain = true
	return []ws.Action{ws.Subscribe(m.Room), m.say("%s joined", m.Name)}
}

func (m *member) hear(line string) []ws.Action {
	switch line {
	case "/bye":
		return []ws.Action{ws.Close{Code: 1000, Reason: "bye"}}
	case "/crash":
		panic("the chat crashed")
	case "/flood":
		flood := make([]ws.Action, 1025)
		for i := range flood {
			flood[i] = ws.Send{Message: ws.Text("!")}
		}
		return flood
	}
	m.Said++
	return []ws.Action{m.say("%s (%d): %s", m.Name, m.Said, line)}
}

func (m *member) say(format string, values ...any) ws.Action {
	return ws.Publish{Channel: m.Room, Message: ws.Text(fmt.Sprintf(format, values...))}
}

func respond(status uint16, body string) ws.Action {
	fields := []ws.Field{{Name: "Content-Type", Value: "text/plain; charset=utf-8"}}
	return ws.Respond{Status: status, Fields: fields, Body: []byte(body)}
}
