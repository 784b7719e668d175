//! The settings as `atelier config` shows them: TOML that could be a file again, each value with where
//! it comes from.
//!
//! Invariant: no secret is shown: none that is called so, and no password in a URL.

use std::fmt::Write;

use figment::{Figment, Source};

use super::{BadConfig, Config};

/// What stands in place of a secret.
const MASK: &str = "********";

/// The settings, and the layers that they come from.
pub(super) fn shown(config: &Config, layers: &Figment) -> Result<String, BadConfig> {
    let bad = |error: &dyn std::fmt::Display| BadConfig(error.to_string());
    let mut table = toml::Table::try_from(config).map_err(|error| bad(&error))?;
    mask(&mut table);
    let mut out = String::new();
    section(&mut out, "", &table, layers).map_err(|error| bad(&error))?;
    Ok(out.trim_end().to_owned())
}

/// A table: its own values first, then the tables in it.
fn section(
    out: &mut String,
    path: &str,
    table: &toml::Table,
    layers: &Figment,
) -> std::fmt::Result {
    let within = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let (tables, values): (Vec<_>, Vec<_>) = table.iter().partition(|(_, v)| v.is_table());
    if !path.is_empty() && !values.is_empty() {
        writeln!(out, "[{path}]")?;
    }
    for (key, value) in &values {
        writeln!(out, "{key} = {value}  # {}", origin(&within(key), layers))?;
    }
    if !values.is_empty() {
        writeln!(out)?;
    }
    for (key, value) in tables {
        if let toml::Value::Table(inner) = value {
            section(out, &within(key), inner, layers)?;
        }
    }
    Ok(())
}

/// Who said so.
fn origin(path: &str, layers: &Figment) -> String {
    match layers.find_metadata(path) {
        Some(metadata) if metadata.name.starts_with("--") => metadata.name.clone().into_owned(),
        Some(metadata) if metadata.name.contains("environment variable") => {
            format!("ATELIER__{}", path.to_uppercase().replace('.', "__"))
        }
        Some(metadata) => match &metadata.source {
            Some(Source::File(file)) => file.display().to_string(),
            _ => "default".to_owned(),
        },
        // `[limits]` is handed out to who keeps them.
        None => "default".to_owned(),
    }
}

/// Masks what is secret by its name, and the password of every URL.
fn mask(table: &mut toml::Table) {
    for (key, value) in table.iter_mut() {
        let secret = ["secret", "password", "token"].iter().any(|word| key.contains(word));
        mask_value(value, secret);
    }
}

fn mask_value(value: &mut toml::Value, secret: bool) {
    match value {
        toml::Value::Table(inner) => mask(inner),
        toml::Value::Array(items) => items.iter_mut().for_each(|item| mask_value(item, secret)),
        toml::Value::String(text) if secret && !text.is_empty() => *text = MASK.into(),
        // Brokers stand in one text, each with a password of its own.
        toml::Value::String(text) if text.contains("://") => {
            let shown: Vec<String> =
                text.split(',').map(|url| without_password(url).unwrap_or(url.into())).collect();
            *text = shown.join(",");
        }
        _ => {}
    }
}

/// `scheme://user:password@host…` with the password masked, or the token of a broker that has one in
/// place of both, and what parameters say.
fn without_password(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (rest, parameters) = match rest.split_once('?') {
        Some((rest, _)) => (rest, format!("?{MASK}")),
        None => (rest, String::new()),
    };
    let authority_end = rest.find(['/', '#']).unwrap_or(rest.len());
    let Some((credentials, _)) = rest[..authority_end].rsplit_once('@') else {
        return Some(format!("{scheme}://{rest}{parameters}"));
    };
    let after = &rest[credentials.len()..];
    let shown = match credentials.split_once(':') {
        Some((user, _)) => format!("{user}:{MASK}"),
        None if ["nats", "tls"].contains(&scheme) => MASK.to_owned(),
        None => credentials.to_owned(),
    };
    Some(format!("{scheme}://{shown}{after}{parameters}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Common;

    fn shown(toml: &str, listen: Option<&str>) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("atelier.toml");
        std::fs::write(&file, toml).expect("written");
        let listen = listen.map(str::to_owned);
        let arguments = Common { config: Some(file), listen, ..Common::default() };
        Config::shown(&arguments).expect("fine")
    }

    #[test]
    fn secrets_are_masked() {
        let shown = shown(
            "[mesh]\nsecret = 'hush'\n[database.palettes]\nprimary = 'postgres://a:hush@h/d'\n\
             [events]\nprimary = 'nats://a:hush@h,nats://b:hush@i,nats://hush@j'\n\
             [database.accounts]\nprimary = 'postgres://h/d?user=u&password=hush'",
            None,
        );
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("postgres://a:********@h/d"), "{shown}");
        let brokers = "nats://a:********@h,nats://b:********@i,nats://********@j";
        assert!(shown.contains(brokers), "{shown}");
    }

    #[test]
    fn each_value_says_where_it_comes_from() {
        let shown = shown("[mesh]\nlisten = '127.0.0.1:0'", Some("127.0.0.1:7"));
        let line = |start: &str| {
            let found = shown.lines().find(|line| line.starts_with(start));
            found.unwrap_or_else(|| panic!("no {start} in {shown}")).to_owned()
        };
        assert_eq!(line("listen = \"127.0.0.1:7\""), "listen = \"127.0.0.1:7\"  # --listen");
        assert!(line("listen = \"127.0.0.1:0\"").ends_with("atelier.toml"), "{shown}");
        assert!(line("data = ").ends_with("# default"), "{shown}");
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let first = shown("[mesh]\ncall_timeout_ms = 7", None);
        assert!(first.contains("call_timeout_ms = 7"), "{first}");
        let again = shown(&first, None);
        let values = |text: &str| toml::from_str::<toml::Table>(text).expect("TOML");
        assert_eq!(values(&first), values(&again));
    }
}
