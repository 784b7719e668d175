//! The mesh on a simulated network, in simulated time: hosts that are cut off, held up, crash and
//! come back. Same seed, same run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use http_body_util::BodyExt;
use mesh::{Channel, Circuit, Dial, Kind, Mesh, MeshSettings, Policy, Stream};
use serde_json::json;
use tasks::Tasks;
use telemetry::Context;
use tokio::time::{Instant, sleep};
use turmoil::net::{TcpListener, TcpStream};

const PORT: u16 = 3799;

/// A simulated listener, as axum takes them.
struct Listener(TcpListener);

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

fn dial() -> Dial {
    Arc::new(|address: String| {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    })
}

async fn listen(port: u16) -> std::io::Result<Listener> {
    TcpListener::bind(("0.0.0.0", port)).await.map(Listener)
}

/// A host that serves `bench`, and says its own name.
async fn instance(name: &'static str) -> turmoil::Result {
    let (mesh, tasks) = (Mesh::simulated(MeshSettings::default(), dial()), Tasks::new());
    mesh.install("bench", Router::new().route("/", get(move || async move { name })));
    mesh::serve(listen(PORT).await?, mesh, &tasks);
    std::future::pending().await
}

/// A host that lists the two instances, for ever.
async fn registry() -> turmoil::Result {
    let listed = |watch: bool| async move {
        if watch {
            sleep(Duration::from_secs(30)).await;
        }
        let hosts = ["one", "two"].map(|name| json!({"host": format!("{name}:{PORT}")}));
        axum::Json(json!({"index": 1, "services": [{"serviceName": "bench", "instances": hosts}]}))
    };
    let services = get(move |uri: http::Uri| listed(uri.query().is_some()));
    let router = Router::new().route("/services", services);
    axum::serve(listen(8500).await?, router).await?;
    Ok(())
}

struct Caller {
    mesh: Mesh,
    channel: Channel,
    _tasks: Tasks,
}

impl Caller {
    async fn start(policy: Policy) -> Self {
        let (mesh, tasks) = (Mesh::simulated(MeshSettings::default(), dial()), Tasks::new());
        mesh.follow(vec!["registry:8500".into()], &tasks);
        let channel = mesh.channel("bench").with_policy(policy);
        let caller = Self { mesh, channel, _tasks: tasks };
        while caller.circuits().len() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
        caller
    }

    fn circuits(&self) -> Vec<Circuit> {
        let views = self.mesh.instances();
        views.iter().flat_map(|v| v.instances.iter().map(|i| i.circuit)).collect()
    }

    /// Who answered, if anybody did within 500 ms.
    async fn call(&self) -> Option<String> {
        let deadline = Some(Instant::now() + Duration::from_millis(500));
        let context = Context { deadline, ..Context::background() };
        let request = Request::get("/").body(Body::empty()).ok()?;
        let answer = context.scope(self.channel.send(request)).await.ok()?;
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        String::from_utf8(body.to_vec()).ok()
    }

    /// Calls for so long, ten times a second; how often each answered, and how often nobody.
    async fn calls(&self, seconds: u64) -> (usize, usize, usize) {
        let (mut one, mut two, mut none) = (0, 0, 0);
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            match self.call().await.as_deref() {
                Some("one") => one += 1,
                Some("two") => two += 1,
                _ => none += 1,
            }
            sleep(Duration::from_millis(100)).await;
        }
        (one, two, none)
    }
}

fn simulate(client: impl Future<Output = turmoil::Result> + 'static) {
    let mut simulation =
        turmoil::Builder::new().simulation_duration(Duration::from_secs(300)).rng_seed(7).build();
    simulation.host("one", || instance("one"));
    simulation.host("two", || instance("two"));
    simulation.host("registry", registry);
    simulation.client("caller", client);
    simulation.run().unwrap();
}

#[test]
fn an_instance_that_is_cut_off_is_left_alone_and_found_again() {
    simulate(async {
        let caller = Caller::start(Policy::RoundRobin).await;
        let (one, two, none) = caller.calls(5).await;
        assert!(one > 0 && two > 0 && none == 0, "{one} {two} {none}");

        turmoil::partition("caller", "one");
        let (_, two, none) = caller.calls(12).await;
        // Five failures open the circuit; after that only probes are lost.
        assert!(none <= 12, "{none} calls found nobody");
        assert!(two > 20, "{two}");
        assert!(caller.circuits().iter().any(|c| *c != Circuit::Closed));

        turmoil::repair("caller", "one");
        let (one, _, _) = caller.calls(15).await;
        assert!(one > 5, "{one}");
        assert_eq!(caller.circuits(), [Circuit::Closed, Circuit::Closed]);
        Ok(())
    });
}

#[test]
fn without_a_registry_calls_go_on() {
    simulate(async {
        let caller = Caller::start(Policy::PeakEwma).await;
        turmoil::partition("caller", "registry");
        let (one, two, none) = caller.calls(15).await;
        assert!(one > 0 && two > 0 && none == 0, "{one} {two} {none}");
        Ok(())
    });
}

#[test]
fn when_all_are_cut_off_it_fails_fast_and_recovers() {
    simulate(async {
        let caller = Caller::start(Policy::RoundRobin).await;
        assert!(caller.call().await.is_some());
        turmoil::partition("caller", "one");
        turmoil::partition("caller", "two");
        caller.calls(8).await;
        assert_eq!(caller.circuits(), [Circuit::Open, Circuit::Open]);
        let before = Instant::now();
        let request = Request::get("/").body(Body::empty()).unwrap();
        let error = caller.channel.send(request).await;
        if let Err(error) = error {
            assert_eq!(error.kind(), Kind::Unavailable);
            assert!(before.elapsed() < Duration::from_secs(2));
        }
        turmoil::repair("caller", "one");
        turmoil::repair("caller", "two");
        caller.calls(15).await;
        let (one, two, none) = caller.calls(5).await;
        assert!(one > 0 && two > 0 && none == 0, "{one} {two} {none}");
        Ok(())
    });
}
