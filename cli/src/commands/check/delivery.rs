//! Calls on several connections, `receive-many` and `deliver`; and `tell`.

use std::collections::BTreeMap;

use wasocket_host::bindings::{
    Arrival, Deliveries, Delivery, Exception, ExceptionEffect, TopicEvent, TopicMessage,
};
use wasocket_host::guest::{Guest, finish};

use super::report::Failure;
use super::trial::{Connection, Trial, shown};

/// The forms of one publication that the host has, by number.
pub(super) type Forms = BTreeMap<u32, Vec<u8>>;

impl Trial<'_> {
    /// Bytes arrive on several connections in one call. None of them is paused.
    pub(crate) fn receive_many(
        &mut self,
        connections: &mut [Connection],
        pieces: &[&[u8]],
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let pieces_shown: Vec<_> = pieces.iter().map(|bytes| shown(bytes)).collect();
        self.tell(&format!("receive-many ({})", pieces_shown.join("; ")));
        let arrival = |(connection, bytes): (&Connection, &&[u8])| Arrival {
            connection: connection.handle,
            length: bytes.len() as u32,
        };
        let arrivals: Vec<_> = connections.iter().zip(pieces).map(arrival).collect();
        let (now, bytes) = (self.now, pieces.concat());
        let received = |guest: &mut Guest| finish(guest.receive_many(now, &arrivals, &bytes));
        let outcomes = self.subject.call(received);
        let outcomes = outcomes.map_err(|fault| self.fault(&fault))?;
        let number = outcomes.results.len();
        self.expect(number == connections.len(), "an outcome for each", || {
            format!("{number} outcomes")
        })?;
        let mut rest = &outcomes.output[..];
        let mut outputs = Vec::new();
        for (connection, outcome) in connections.iter_mut().zip(&outcomes.results) {
            let parts = rest.split_at_checked(outcome.output_length as usize);
            let (output, after) = parts.ok_or_else(|| self.failure("all output", "less"))?;
            rest = after;
            connection.on_effects(outcome.next, outcome.wake_at);
            let mut output = output.to_vec();
            if connection.turn.on_time(now).is_some() {
                output.extend(self.wake(connection, 0)?);
            }
            outputs.push(output);
        }
        self.expect(
            rest.is_empty(),
            "no output but that of the connections",
            || shown(rest),
        )?;
        Ok(outputs)
    }

    /// Something has happened on a topic.
    pub(super) fn tell_event(
        &mut self,
        connection: &mut Connection,
        event: &TopicEvent,
    ) -> Result<Vec<u8>, Failure> {
        let (handle, now) = (connection.handle, self.now);
        self.call(connection, &format!("tell ({})", name(event)), |guest| {
            finish(guest.tell(handle, now, event))
        })
    }

    /// Delivers a text to connections that subscribe to a topic. Returns what each is sent, and adds to the forms.
    pub(super) fn deliver(
        &mut self,
        connections: &mut [Connection],
        topic: &str,
        text: &str,
        forms: &mut Forms,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let known: Vec<u32> = forms.keys().copied().collect();
        let count = connections.len();
        self.tell(&format!(
            "deliver '{text}' to {count} (known forms {known:?})"
        ));
        let delivery = Delivery {
            topic: topic.to_owned(),
            message: TopicMessage::Text(text.to_owned()),
            position: None,
        };
        let handles: Vec<_> = connections.iter().map(|one| one.handle).collect();
        let now = self.now;
        let deliver = |guest: &mut Guest| finish(guest.deliver(now, &delivery, &known, &handles));
        let deliveries = self.subject.call(deliver);
        let deliveries = deliveries.map_err(|fault| self.fault(&fault))?;
        self.add_forms(&deliveries, forms)?;
        self.carry_out(deliveries, connections, forms)
    }

    /// "Forms that were not known."
    fn add_forms(&self, deliveries: &Deliveries, forms: &mut Forms) -> Result<(), Failure> {
        for form in &deliveries.forms {
            let before = forms.insert(form.number, form.bytes.clone());
            self.expect(before.is_none(), "forms that are not known", || {
                format!("form {} again", form.number)
            })?;
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        deliveries: Deliveries,
        connections: &mut [Connection],
        forms: &Forms,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let shared = match deliveries.shared {
            Some(number) => self.form(number, forms)?,
            None => Vec::new(),
        };
        let mut outputs = vec![shared; connections.len()];
        let mut rest = &deliveries.output[..];
        let mut next = 0;
        for Exception { index, effect } in deliveries.exceptions {
            let at = index as usize;
            let (Some(connection), true) = (connections.get_mut(at), at >= next) else {
                let received = format!("an exception for place {index} after place {next}");
                return Err(self.failure("exceptions in the order of the connections", received));
            };
            next = at + 1;
            outputs[at] = match effect {
                ExceptionEffect::Form(number) => self.form(number, forms)?,
                ExceptionEffect::Outcome(outcome) => {
                    let parts = rest.split_at_checked(outcome.output_length as usize);
                    let (own, after) = parts.ok_or_else(|| self.failure("all output", "less"))?;
                    rest = after;
                    connection.on_effects(outcome.next, outcome.wake_at);
                    own.to_vec()
                }
            };
        }
        self.expect(rest.is_empty(), "no output but that of exceptions", || {
            format!("{} bytes more", rest.len())
        })?;
        Ok(outputs)
    }

    fn form(&self, number: u32, forms: &Forms) -> Result<Vec<u8>, Failure> {
        let form = forms.get(&number).cloned();
        form.ok_or_else(|| {
            let received = format!("form {number}, which there is not");
            self.failure("a form that is returned or known", received)
        })
    }
}

fn name(event: &TopicEvent) -> &'static str {
    match event {
        TopicEvent::Subscribed(_) => "subscribed",
        TopicEvent::Refused(_) => "refused",
        TopicEvent::Gap(_) => "gap",
        TopicEvent::Members(_) => "members",
        TopicEvent::Joined(_) => "joined",
        TopicEvent::Left(_) => "left",
        TopicEvent::TooSlow => "too-slow",
    }
}
