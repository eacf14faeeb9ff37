//! A stock server of `wasi:http` 0.2, like `wasmtime serve -S cli`: an instance for each request, and the defaults
//! of wasmtime-wasi-http. Only requests of guests are sent by code of its own, since the feature for that would
//! bring in another TLS library.

use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::TcpStream;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, OptLevel, RegallocAlgorithm, Store};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use support::Site;

/// The most output of the guests that is kept, in bytes.
const MAX_LOG: usize = 1 << 20;

/// A server that runs until the test's process ends.
pub struct WasiHttp {
    site: Site,
    log: MemoryOutputPipe,
}

impl Deref for WasiHttp {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl WasiHttp {
    /// Serves a component on a free port, with these variables.
    pub fn serve(component: &Path, environment: &[(&str, &str)]) -> Self {
        let log = MemoryOutputPipe::new(MAX_LOG);
        let service = Service::new(component, environment, log.clone());
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        thread::spawn(move || listen(listener, service));
        Self {
            site: Site::at(address),
            log,
        }
    }

    /// The output of the guests to stderr.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.contents()).into_owned()
    }
}

impl Drop for WasiHttp {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the component's log:\n{}", self.log());
        }
    }
}

/// A port that was free a moment ago, for servers that cannot report which one they took.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

#[tokio::main(flavor = "current_thread")]
async fn listen(listener: TcpListener, service: Service) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let service = Arc::new(service);
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            let handle = service_fn(|request| service.handle(request));
            // The client may leave at any time.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), handle)
                .await;
        });
    }
}

/// As in `stock.rs`: the engines of JavaScript and Python take long to compile, but are run for seconds only.
fn quick_to_compile() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::None)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
    config
}

struct Service {
    pre: ProxyPre<State>,
    environment: Vec<(String, String)>,
    log: MemoryOutputPipe,
}

impl Service {
    fn new(component: &Path, environment: &[(&str, &str)], log: MemoryOutputPipe) -> Self {
        let engine = Engine::new(&quick_to_compile()).expect("an engine");
        let component = Component::from_file(&engine, component).expect("a component");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("links");
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).expect("links");
        let pre = linker.instantiate_pre(&component).expect("links");
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            pre: ProxyPre::new(pre).expect("an incoming-handler"),
            environment: environment.iter().map(own).collect(),
            log,
        }
    }

    async fn handle(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<WasiBody>, std::convert::Infallible> {
        let response = self.try_handle(request).await;
        // As `wasmtime serve` responds for a guest that traps.
        Ok(response.unwrap_or_else(|_| {
            let body = Full::default()
                .map_err(|never| match never {})
                .boxed_unsync();
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }))
    }

    async fn try_handle(&self, request: Request<Incoming>) -> wasmtime::Result<Response<WasiBody>> {
        let wasi = WasiCtx::builder()
            .envs(&self.environment)
            .stderr(self.log.clone())
            .build();
        let mut store = Store::new(self.pre.engine(), State::new(wasi));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let request = store
            .data_mut()
            .http()
            .new_incoming_request(Scheme::Http, request)?;
        let outparam = store.data_mut().http().new_response_outparam(sender)?;
        let pre = self.pre.clone();
        let call = tokio::spawn(async move {
            let proxy = pre.instantiate_async(&mut store).await?;
            let handler = proxy.wasi_http_incoming_handler();
            handler.call_handle(store, request, outparam).await
        });
        match receiver.await {
            Ok(response) => Ok(response?),
            Err(_) => {
                call.await??;
                wasmtime::bail!("there is no response")
            }
        }
    }
}

struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: Hooks,
}

impl State {
    fn new(wasi: WasiCtx) -> Self {
        Self {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            hooks: Hooks,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

struct Hooks;

type Driving = dyn Future<Output = Result<(), Error>> + Send;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<Driving>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Box<Driving>), Error>> + Send> {
        Box::new(send(request))
    }

    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }
}

async fn send(mut request: Request<WasiBody>) -> Result<(Response<WasiBody>, Box<Driving>), Error> {
    let authority = request
        .uri()
        .authority()
        .ok_or(Error::HttpRequestUriInvalid)?;
    let address: SocketAddr = authority
        .as_str()
        .parse()
        .map_err(|_| Error::HttpRequestUriInvalid)?;
    let stream = TcpStream::connect(address).await.map_err(Error::Connect)?;
    let path = request.uri().path().parse::<Uri>();
    *request.uri_mut() = path.map_err(|_| Error::HttpRequestUriInvalid)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
    Ok((
        response,
        Box::new(async move {
            driving
                .await
                .map_err(|_| Error::HttpRequestDenied)?
                .map_err(Error::from)
        }),
    ))
}
