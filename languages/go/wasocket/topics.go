package wasocket

// Subscribe subscribes the peer to a topic, whose name has 1 to 128 bytes: it is sent whatever is published there. A
// connection has up to 16 topics. A topic exists once it is named.
type Subscribe string

// SubscribeWith subscribes with more to say than the name, and replaces what an earlier subscription to the same topic
// said. [Subscribed] or [Refused] follows.
type SubscribeWith struct {
	Topic string
	// Starts with the latest publications in history, at most this number of them.
	Last uint32
	// Starts with the publication that follows this position, rather than with the next one.
	After string
	// The history that the topic should have for those who come later, within the operator's bounds. Zero asks for none.
	Keep History
	// What others see of this connection as a member: up to 256 bytes. Nil if it is not to be one.
	Member []byte
	// Whether to be told by [Joined] and [Left].
	WatchMembers bool
	// Who is given what is published: [ToPeer] unless something else is set.
	Receiver Receiver
}

// History is how much of a topic is kept: at most this number of publications, none older than this.
type History struct{ Count, Seconds uint32 }

// A Receiver is given what is published on a topic.
type Receiver uint8

const (
	// ToPeer sends the message to the peer as it is.
	ToPeer Receiver = iota
	// ToPeerWithPosition puts the position, which may be empty, and a line feed in front of it.
	ToPeerWithPosition
	// ToApp makes it an event, [Published].
	ToApp
)

// Unsubscribe ends a subscription.
type Unsubscribe string

// Publish sends a message to all peers that are subscribed to a topic, including this one.
type Publish struct {
	// The topic. The field has an older name for it.
	Channel string
	Message Message
}

// PublishToOthers sends a message to all peers that are subscribed to a topic, except this one.
type PublishToOthers struct {
	// The topic.
	Channel string
	Message Message
}

// ListMembers asks who is a member of a topic: [Members] or [Refused] follows.
type ListMembers string

// Subscribed says that a [SubscribeWith] is in effect. What the subscriber is given comes after it.
type Subscribed struct {
	Topic string
	// The position that the first publication follows; empty if the topic keeps no history.
	Position string
	// Whether nothing is missing since the start that was asked for: false only where SubscribeWith.After was set.
	Recovered bool
}

// Published is something that was published on a topic with the receiver [ToApp].
type Published struct {
	Topic   string
	Message Message
	// A place to come back to with SubscribeWith.After. Empty if the topic keeps no history, or if the host could not
	// reach the others.
	Position string
}

// Gap says that publications may have been lost on the way to this connection.
type Gap struct {
	Topic string
	// Where the topic stands now; empty if that is not known.
	Position string
}

// Members answers [ListMembers].
type Members struct {
	Topic string
	// How many there are in the whole service.
	Count uint64
	// What they say of themselves, in no order: at most 1,000 of them.
	Members [][]byte
}

// Joined says that there is a new member, or that one says something else of itself.
type Joined struct {
	Topic  string
	Member []byte
}

// Left says that a member has left.
type Left struct {
	Topic  string
	Member []byte
}

// Refused says that something was refused, or that a subscription was ended by the host: by a limit of its operator, or
// because this kind of host cannot do it.
type Refused struct {
	Topic     string
	Operation TopicOperation
	// Why, for a log.
	Reason string
}

// A TopicOperation is something that a host may refuse.
type TopicOperation uint8

const (
	// OperationSubscribe is a subscription.
	OperationSubscribe TopicOperation = iota
	// OperationPublish is a publication.
	OperationPublish
	// OperationListMembers is the question for the members.
	OperationListMembers
)

func (Subscribed) event() {}
func (Published) event()  {}
func (Gap) event()        {}
func (Members) event()    {}
func (Joined) event()     {}
func (Left) event()       {}
func (Refused) event()    {}
