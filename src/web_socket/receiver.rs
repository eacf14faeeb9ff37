use super::{Error, FromMessage, MessageReader, Sender, WebSocket};

/// The receiving side of a connection that has been [split](WebSocket::split).
#[derive(Debug)]
pub struct Receiver {
    socket: WebSocket,
    #[cfg(feature = "futures")]
    collecting: Option<super::reader::Collecting>,
    #[cfg(feature = "futures")]
    ended: bool,
}

impl WebSocket {
    /// Splits the connection into its two sides. With feature `futures` they are a `Sink` and a `Stream`.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        let sender = self.sender();
        let receiver = Receiver {
            socket: self,
            #[cfg(feature = "futures")]
            collecting: None,
            #[cfg(feature = "futures")]
            ended: false,
        };
        (sender, receiver)
    }
}

impl Receiver {
    /// As [`WebSocket::receive`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::receive`].
    pub async fn receive<M: FromMessage>(&mut self) -> Result<Option<M>, Error> {
        self.socket.receive().await
    }

    /// As [`WebSocket::next_message`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::next_message`].
    pub async fn next_message(&mut self) -> Result<Option<MessageReader>, Error> {
        self.socket.next_message().await
    }
}

#[cfg(feature = "futures")]
mod futures {
    use alloc::rc::Rc;
    use core::pin::Pin;
    use core::task::{Context, Poll, ready};

    use futures_core::{FusedStream, Stream};
    use futures_sink::Sink;

    use super::super::reader::Collecting;
    use super::{Error, MessageReader, Receiver, Sender};
    use crate::protocol::{CloseCode, Message};

    /// A stream of whole messages. Ends with the connection: after an [`Error::Closed`], or without an error
    /// if the peer closed it with a closing handshake.
    impl Stream for Receiver {
        type Item = Result<Message, Error>;

        fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            let this = self.get_mut();
            if this.ended {
                return Poll::Ready(None);
            }
            let result = ready!(this.poll_receive(context));
            this.ended = matches!(result, Ok(None) | Err(Error::Closed(_)));
            Poll::Ready(result.transpose())
        }
    }

    impl FusedStream for Receiver {
        fn is_terminated(&self) -> bool {
            self.ended
        }
    }

    impl Receiver {
        fn poll_receive(
            &mut self,
            context: &mut Context<'_>,
        ) -> Poll<Result<Option<Message>, Error>> {
            let shared = &self.socket.0.0;
            if self.collecting.is_none() {
                let Some((first, number)) = ready!(shared.poll_message(context))? else {
                    return Poll::Ready(Ok(None));
                };
                let reader = MessageReader::new(Rc::clone(shared), first, number);
                self.collecting = Some(Collecting::new(reader, shared.max_message_size()));
            }
            let Some(collecting) = &mut self.collecting else {
                return Poll::Pending;
            };
            let message = ready!(collecting.poll(context));
            self.collecting = None;
            Poll::Ready(message.map(Some))
        }
    }

    /// Ready when [`Sender::send`] would not wait; flushed when the host has taken everything. Closing it
    /// closes the connection, with code 1000, as [`Sender::close`] does.
    impl Sink<Message> for Sender {
        type Error = Error;

        fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
            self.0.poll_room(context)
        }

        fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
            self.send_now(message, true)
        }

        fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
            self.0.poll_sent(context)
        }

        fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
            // Fails if the connection is not open: it is closed, or soon will be.
            let _ = self.0.close(CloseCode::NORMAL, "");
            self.0.poll_closed(context).map(|_| Ok(()))
        }
    }
}
