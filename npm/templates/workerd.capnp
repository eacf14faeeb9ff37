# The app in workerd alone, without wrangler: workerd serve workerd.capnp
# Made by wasocket-transpile; it is overwritten.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:1234", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  modules = [
    # MODULES
  ],
  compatibilityDate = "2026-11-01",
  durableObjectNamespaces = [(className = "App", uniqueKey = "wasocket-app")],
  durableObjectStorage = (inMemory = void),
  bindings = [(name = "APP", durableObjectNamespace = "App")],
);
