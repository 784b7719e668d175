//! What processes cost, read from /proc as Linux tells it: each with all its children.

use std::collections::HashMap;
use std::fs::{read_dir, read_to_string};

/// User and system time so far of these processes and their children, in ticks of 10 ms.
pub fn cpu_seconds(pids: &[u32]) -> f64 {
    let ticks = |pid: u32| {
        let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(user + system)
    };
    with_children(pids).into_iter().filter_map(ticks).sum::<u64>() as f64 / 100.0
}

/// Resident memory of these processes and their children.
pub fn resident_kib(pids: &[u32]) -> u64 {
    let resident = |pid: u32| {
        let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    with_children(pids).into_iter().filter_map(resident).sum()
}

fn with_children(pids: &[u32]) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (pids.to_vec(), 0);
    while let Some(pid) = found.get(next) {
        for child in children.remove(pid).unwrap_or_default() {
            if !found.contains(&child) {
                found.push(child);
            }
        }
        next += 1;
    }
    found
}

fn parent(pid: u32) -> Option<u32> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_count() {
        let alone = resident_kib(&[std::process::id()]);
        let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
        assert!(with_children(&[std::process::id()]).contains(&child.id()));
        assert!(alone > 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
