//! Generated from `wit/`: the only place where wit-bindgen is called.

pub mod handler {
    wit_bindgen::generate!({
        world: "handler",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_handler",
        default_bindings_module: "::wasocket::component::bindings::handler",
    });
}

/// The import of the world `protocol`; its export is that of `handler`.
pub mod protocol {
    wit_bindgen::generate!({
        inline: "package wasocket:adapter; world imports { import wasocket:websocket/app@0.1.0; }",
        path: "wit",
        with: {
            "wasocket:websocket/app@0.1.0": generate,
            "wasocket:websocket/types@0.1.0": super::handler::wasocket::websocket::types,
        },
    });
}

pub mod application {
    wit_bindgen::generate!({
        world: "application",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_application",
        default_bindings_module: "::wasocket::component::bindings::application",
        with: {
            "wasocket:websocket/types@0.1.0": super::handler::wasocket::websocket::types,
        },
    });
}

pub mod client {
    wit_bindgen::generate!({
        world: "client",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_client",
        default_bindings_module: "::wasocket::component::bindings::client",
        with: {
            "wasocket:websocket/types@0.1.0": super::handler::wasocket::websocket::types,
        },
    });
}
