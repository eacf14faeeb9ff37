//! How a session goes on with a connection that comes from another process.

use std::future::Future;
use std::io;
use std::rc::Rc;

use crate::net::stream::accepted::Accepted;
use crate::observe::access_log::ConnectionEntry;
use crate::pool::Resumed;
use crate::session::Session;
use crate::session::settings::SessionContext;

impl Session {
    /// Serves the socket of a resumed connection to its end. Something was last received or sent on it `idle_for`
    /// nanoseconds ago.
    ///
    /// # Errors
    ///
    /// If the socket fails.
    pub(crate) fn go_on(
        context: &Rc<SessionContext>,
        stream: Accepted,
        resumed: Resumed,
        entry: ConnectionEntry,
        idle_for: u64,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let Resumed {
            connection,
            final_bytes,
            effects,
        } = resumed;
        let age = entry.age();
        let session = Self::new(context, stream, connection, final_bytes, entry);
        let settings = &context.settings;
        session
            .inner()
            .limits
            .begin_earlier(settings, context.clock.now(), idle_for, age);
        session.run(Vec::new(), effects)
    }
}
