//! `atelier status`: the table of `GET /status`.

use std::fmt::Write;

use serde_json::Value;

use crate::run::say;

/// Asks the system at `url` and prints a line for each instance.
///
/// # Errors
/// If it cannot be reached or answers something else.
pub async fn show(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let status: Value =
        reqwest::get(format!("{}/status", url.trim_end_matches('/'))).await?.json().await?;
    say(&table(&status));
    Ok(())
}

const COLUMNS: [&str; 4] = ["host", "health", "circuit", "version"];

fn table(status: &Value) -> String {
    let mut rows = vec![["SERVICE", "HOST", "HEALTH", "CIRCUIT", "VERSION"].map(str::to_owned)];
    for service in status["services"].as_array().into_iter().flatten() {
        let name = text(&service["service"]);
        let instances = service["instances"].as_array().map_or(&[][..], Vec::as_slice);
        if instances.is_empty() {
            rows.push([name, "-".into(), "none".into(), "-".into(), "-".into()]);
            continue;
        }
        for instance in instances {
            let [host, health, circuit, version] = COLUMNS.map(|column| text(&instance[column]));
            rows.push([name.clone(), host, health, circuit, version]);
        }
    }
    let mut out = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
            // Writing into a String cannot fail.
            let _ = write!(out, "{cell:width$}  ");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| if value.is_null() { "-".into() } else { value.to_string() }, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_instance_has_its_line() {
        let shown = table(&json!({"services": [
            {"service": "palettes", "instances": [
                {"host": "127.0.0.1:1", "health": "healthy", "circuit": "closed", "version": "0.1.0"},
                {"host": "127.0.0.1:2", "health": "healthy", "circuit": "open", "version": null}]},
            {"service": "popularity", "instances": []},
        ]}));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2], "palettes    127.0.0.1:2  healthy  open     -");
        assert_eq!(lines[3], "popularity  -            none     -        -");
    }
}
