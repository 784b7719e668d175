//! Generates clients and servers from `proto/`, without a `protoc` on the machine, and for each
//! service a stub: one client for siblings in the same process and for those elsewhere.

use prost_build::{Service, ServiceGenerator};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = ["accounts", "chat", "erasure", "palettes", "popularity"]
        .map(|name| format!("{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    let grpc = tonic_prost_build::configure().build_transport(false).service_generator();
    let mut config = prost_build::Config::new();
    config.service_generator(Box::new(WithStubs(grpc))).compile_fds(descriptors)?;
    Ok(())
}

/// gRPC's clients and servers, and the stubs in front of them.
struct WithStubs(Box<dyn ServiceGenerator>);

impl ServiceGenerator for WithStubs {
    fn generate(&mut self, service: Service, code: &mut String) {
        code.push_str(&stub(&service));
        self.0.generate(service, code);
    }

    fn finalize(&mut self, code: &mut String) {
        self.0.finalize(code);
    }

    fn finalize_package(&mut self, package: &str, code: &mut String) {
        self.0.finalize_package(package, code);
    }
}

/// A service's stub. All methods of the contracts are unary.
fn stub(service: &Service) -> String {
    let name = &service.name;
    let module = name.to_lowercase();
    let methods: String = service
        .methods
        .iter()
        .map(|method| {
            assert!(
                !method.client_streaming && !method.server_streaming,
                "{name}.{} streams, which no stub can",
                method.proto_name
            );
            let (call, input, output) = (&method.name, &method.input_type, &method.output_type);
            format!(
                "    pub async fn {call}(
        &self,
        request: impl tonic::IntoRequest<{input}>,
    ) -> Result<tonic::Response<{output}>, tonic::Status> {{
        let request = request.into_request();
        match self.0.here::<dyn {module}_server::{name}>() {{
            Some(service) => {{
                let timeout = request.metadata().get(\"grpc-timeout\").cloned();
                self.0.enter(timeout, async move {{ service.{call}(request).await }}).await
            }}
            None => {module}_client::{name}Client::new(self.0.clone()).{call}(request).await,
        }}
    }}
"
            )
        })
        .collect();
    format!(
        "/// Calls `{package}.{name}`: in this process with the message as it is, elsewhere by gRPC.
#[derive(Clone, Debug)]
pub struct {name}Stub<S>(S);

impl<S: seam::Seam> {name}Stub<S> {{
    pub fn new(seam: S) -> Self {{
        Self(seam)
    }}

{methods}}}
",
        package = service.package,
    )
}
