//! What the command line promises: exit codes, one line that says what to do, nothing overwritten.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use system_tests::{Shape, System, in_every_shape};
use testkit::free_address;

const PROGRAM: &str = env!("CARGO_BIN_EXE_system");

fn atelier(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(PROGRAM)
        .args(arguments)
        .current_dir(folder.path())
        .env("ATELIER__DISCOVERY__LISTEN", free_address().to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn one_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.trim().lines().count(), 1, "{text}");
    text
}

#[test]
fn bad_flags_end_with_2() {
    for arguments in [&["--nonsense"][..], &["serve"], &["up", "--replicas", "palettes=2"]] {
        assert_eq!(atelier(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn what_cannot_start_ends_with_1_and_says_why() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = busy.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "here already").unwrap();
    let config = folder.path().join("bad.toml");
    std::fs::write(&config, "[gateway]\nno_such_key = 1\n").unwrap();
    let (file, config) = (file.to_str().unwrap(), config.to_str().unwrap());
    for (arguments, says) in [
        (&["--listen", taken.as_str()][..], taken.as_str()),
        (&["--listen", taken.as_str(), "--split"], taken.as_str()),
        (&["--listen", "nonsense"], "nonsense"),
        (&["--data", file], file),
        (&["--config", config], "no_such_key"),
        (&["--config", "missing.toml"], "missing.toml"),
        (&["serve", "nobody"], "nobody"),
    ] {
        let output = atelier(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let line = one_line(&output);
        assert!(line.contains(says), "{arguments:?}: {line}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "here already");
}

#[test]
fn a_corrupt_database_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let corrupt = vec![0x5a; 8192];
    let file = folder.path().join("palettes.db");
    std::fs::write(&file, &corrupt).unwrap();
    let listen = free_address().to_string();
    let output = atelier(&["--listen", &listen, "--data", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(one_line(&output).contains("palettes"), "{output:?}");
    assert_eq!(std::fs::read(file).unwrap(), corrupt);
}

#[test]
fn the_settings_are_shown_without_secrets() {
    let output = Command::new(PROGRAM)
        .arg("config")
        .env("ATELIER__MESH__SECRET", "hush-hush")
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("[gateway]") && !text.contains("hush-hush"), "{text}");
}

in_every_shape!(an_account_is_made_beside_a_running_system, async |system: &mut System| {
    let mut command = system
        .command()
        .args(["admin", "create-user", "keeper", "--staff"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    command.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    let output = command.wait_with_output().unwrap();
    assert!(output.status.success());
    let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let who = json!({"username": "keeper", "password": "correct horse"});
    let answer = system.visitor().post("/users/login", &who).await.expect(200);
    assert_eq!(answer.json["user_id"], id.as_str());
});

in_every_shape!(a_demo_fills_it_and_status_shows_it, async |system: &mut System| {
    for _ in 0..2 {
        let output = Command::new(PROGRAM).args(["demo", "--url", &system.url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let popular = system.visitor().get("/popular?limit=100").await.expect(200);
    assert_eq!(popular.json.as_array().unwrap().len(), 12, "run twice, filled once");
    let output = Command::new(PROGRAM).args(["status", "--url", &system.url]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("palettes") && table.contains("healthy"), "{table}");
});

in_every_shape!(sockets_are_told_to_reconnect_when_it_ends, async |system: &mut System| {
    let mut listener = system.visitor().listen("/ws/popularity").await;
    let status = system.stop();
    assert_eq!(status.code(), Some(0));
    assert_eq!(listener.closed().await, Some(1012));
});

#[test]
fn what_was_written_is_there_after_a_restart() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for shape in [Shape::OneProcess, Shape::Split] {
        runtime.block_on(async {
            let mut system = System::start(PROGRAM, shape, None);
            let ada = system.member("ada").await;
            let id = ada.palette("#777777", "kept").await;
            ada.like(&id).await.expect(200);
            system.power_cut();
            let visitor = system.visitor();
            let palette = visitor.get(&format!("/palettes/{id}")).await.expect(200);
            assert_eq!(palette.json["likes"], 1);
            assert!(system.stop().success());
        });
    }
}
