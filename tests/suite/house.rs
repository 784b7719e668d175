//! The laws of the house: who may know whom, and how large a room may grow.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

const LONGEST_FILE: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where in the house a crate stands: `platform`, `services`, `contracts`, `app`, …
fn floor(package: &Package) -> String {
    let path = package.manifest_path.strip_prefix(root().to_str().unwrap()).unwrap();
    path.components().next().unwrap().as_str().to_owned()
}

#[test]
fn nobody_knows_whom_they_must_not_know() {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().unwrap();
    let packages = metadata.workspace_packages();
    let names: BTreeSet<&str> = packages.iter().map(|p| p.name.as_str()).collect();
    let floor_of = |name: &str| floor(packages.iter().find(|p| p.name.as_str() == name).unwrap());
    let mut broken = Vec::new();
    for package in &packages {
        for dependency in &package.dependencies {
            if !names.contains(dependency.name.as_str()) {
                continue;
            }
            let (from, to) = (floor(package), floor_of(&dependency.name));
            let testing = dependency.kind == DependencyKind::Development;
            let allowed = match from.as_str() {
                "services" => ["contracts", "platform"].contains(&to.as_str()),
                "contracts" => ["ids", "seam"].contains(&dependency.name.as_str()),
                "platform" => to == "platform",
                "app" => true,
                "tests" => to == "app" || to == "platform",
                "bench" => true,
                other => panic!("a crate in a room of its own: {other}"),
            };
            let tests = ["tests", "bench"].contains(&from.as_str());
            let test_tool = dependency.name == "testkit" && !testing && !tests;
            if !allowed || test_tool {
                broken.push(format!("{} ({from}) knows {} ({to})", package.name, dependency.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_room_is_too_large_and_none_is_a_lumber_room() {
    let mut broken = Vec::new();
    for file in sources(&root()) {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        if lines > LONGEST_FILE {
            broken.push(format!("{} has {lines} lines", file.display()));
        }
        let stem = file.file_stem().unwrap().to_str().unwrap();
        if ["mod", "utils", "helpers", "manager", "common"].contains(&stem) {
            broken.push(format!("{} says nothing of what is in it", file.display()));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_file_says_what_it_owns() {
    let silent: Vec<_> = sources(&root())
        .into_iter()
        .filter(|file| !std::fs::read_to_string(file).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}
