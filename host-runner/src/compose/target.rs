use clap::ValueEnum;

/// Where an app is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A component for `wasocket serve`
    #[default]
    Handler,
}

/// What a target is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A component that exports `websocket-handler`, or an app, which is joined with the protocol.
    Handler,
    /// An app alone.
    App,
}

impl Target {
    /// The name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Handler => "handler",
        }
    }

    /// Whether it needs the app alone, without the protocol.
    pub(crate) fn takes_an_app(self) -> bool {
        self.takes() == Form::App
    }

    pub(super) fn takes(self) -> Form {
        match self {
            Self::Handler => Form::Handler,
        }
    }

    /// The component to which it is joined.
    pub(super) fn adapter(self) -> Option<&'static [u8]> {
        match self {
            Self::Handler => None,
        }
    }

    /// Whether the target has no use for a component that imports this.
    pub(super) fn refuses(self, _import: &str) -> bool {
        match self {
            Self::Handler => false,
        }
    }
}
