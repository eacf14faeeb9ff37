//! Requests as commands of Redis.

use std::time::Duration;

use redis::Cmd;

use crate::engine::redis::envelope::{runner_name, word};
use crate::engine::redis::layout::Layout;
use crate::engine::redis::tuning::Tuning;
use crate::engine::{MemberKey, Request, Sent};
use crate::message::{Keep, Start};
use crate::topic::Topic;

/// The scripts, as Redis knows them after `SCRIPT LOAD`.
#[derive(Clone, Debug)]
pub(super) struct Scripts {
    pub(super) topic: String,
    pub(super) members: String,
}

/// What commands need to know, for as long as a connection lasts.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    pub(super) layout: Layout,
    pub(super) scripts: Scripts,
    /// `run_id` of the server: another one after each start.
    pub(super) server_run: String,
    pub(super) runner: String,
    pub(super) tuning: Tuning,
}

/// What is sent for a request.
pub(super) enum Order {
    Subscribe(String),
    Unsubscribe(String),
    Run(Cmd),
}

impl Commands {
    pub(super) fn order(&self, request: &Request) -> Order {
        match request {
            Request::Subscribe(topic) => Order::Subscribe(self.layout.live(topic)),
            Request::Unsubscribe(topic) => Order::Unsubscribe(self.layout.live(topic)),
            Request::Keep(topic, keep) => Order::Run(self.keep(topic, *keep)),
            Request::Publish(sent) => Order::Run(self.publish(sent)),
            Request::History(topic, start) => Order::Run(self.history(topic, *start)),
            Request::Enter(topic, key, info) => {
                let mut command = self.member("enter", topic, *key);
                command.arg(&info[..]);
                Order::Run(command)
            }
            Request::Leave(topic, key) => Order::Run(self.member("leave", topic, *key)),
            Request::Members(topic, most) => {
                let mut command = self.members("list");
                command.arg(topic.as_str()).arg(*most);
                Order::Run(command)
            }
            Request::Renew => Order::Run(self.lease("renew")),
        }
    }

    /// `connect` gives the runner a lease, `renew` prolongs it.
    pub(super) fn lease(&self, operation: &str) -> Cmd {
        let mut command = self.members(operation);
        command
            .arg(&self.runner)
            .arg(milliseconds(self.tuning.lease));
        command
    }

    fn publish(&self, sent: &Sent) -> Cmd {
        let mut command = self.topic(&sent.topic, "publish");
        command
            .arg(word(sent.message.kind))
            .arg(&sent.message.bytes[..])
            .arg(&self.server_run)
            .arg(runner_name(sent.origin.runner))
            .arg(sent.origin.number);
        command
    }

    fn keep(&self, topic: &Topic, keep: Keep) -> Cmd {
        let mut command = self.topic(topic, "keep");
        command
            .arg(&self.server_run)
            .arg(keep.count)
            .arg(keep.seconds)
            .arg(self.tuning.topic_bytes)
            .arg(milliseconds(self.tuning.topic_idle));
        command
    }

    fn history(&self, topic: &Topic, start: Start) -> Cmd {
        let mut command = self.topic(topic, "history");
        command.arg(&self.server_run).arg(self.tuning.topic_bytes);
        match start {
            Start::Now => command.arg("now"),
            Start::Last(count) => command.arg("last").arg(count),
            Start::After(position) => command
                .arg("after")
                .arg(format!("{:016x}", position.epoch))
                .arg(position.offset),
        };
        command
    }

    fn member(&self, operation: &str, topic: &Topic, key: MemberKey) -> Cmd {
        let mut command = self.members(operation);
        command
            .arg(runner_name(key.runner))
            .arg(key.number)
            .arg(topic.as_str());
        command
    }

    fn topic(&self, topic: &Topic, operation: &str) -> Cmd {
        script(&self.scripts.topic, &self.layout.meta(topic), operation)
    }

    fn members(&self, operation: &str) -> Cmd {
        script(&self.scripts.members, &self.layout.runners(), operation)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn script(hash: &str, key: &str, operation: &str) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(hash).arg(1).arg(key).arg(operation);
    command
}
