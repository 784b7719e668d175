//! `atelier demo`: sample content for a running system, through the public API like any client.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::run::say;

const TIMEOUT: Duration = Duration::from_secs(30);
const PEOPLE: [&str; 6] =
    ["demo.ada", "demo.bruno", "demo.chen", "demo.dora", "demo.emeka", "demo.freya"];

/// Names, headings and colours of the sample palettes.
const PALETTES: [(&str, &str, &[&str]); 12] = [
    ("Harbour at dusk", "nature", &["#1B2A41", "#324A5F", "#CCC9DC", "#F2A65A", "#EE6352"]),
    ("Moss and stone", "nature", &["#2F3E2E", "#5C7650", "#A3B18A", "#DAD7CD", "#8D8A80"]),
    ("Lemon kitchen", "interior", &["#FFF275", "#FF8C42", "#6C8EAD", "#FDFDFD", "#3C3C3C"]),
    ("Night tram", "city", &["#0B0C10", "#1F2833", "#C5C6C7", "#66FCF1", "#45A29E"]),
    ("Terracotta", "interior", &["#E2725B", "#F4E1D2", "#A44A3F", "#3D2B1F", "#D9B99B"]),
    ("Arcade", "games", &["#FF00C8", "#00F0FF", "#FFE600", "#120458", "#7A04EB"]),
    ("Winter birch", "nature", &["#F7F7F2", "#D8D4D5", "#8A8D91", "#4A4E69", "#22223B"]),
    ("Market day", "food", &["#D62828", "#F77F00", "#FCBF49", "#EAE2B7", "#588157"]),
    ("Ink and paper", "print", &["#FAF7F0", "#1C1B1A", "#B23A48", "#8C9491"]),
    ("Espresso", "food", &["#3B2F2F", "#6F4E37", "#A67B5B", "#ECB176", "#FED8B1"]),
    ("Monsoon", "nature", &["#0D3B66", "#3E8989", "#9AC2C5", "#F4D35E"]),
    ("Brutalist", "city", &["#6B6E70", "#A8A9AD", "#D4D4D2", "#222629", "#86C232"]),
];

/// Fills the system at `url`.
///
/// # Errors
/// If it cannot be reached or refuses a step; running it again goes on where it stopped.
pub async fn fill(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let api = Api {
        client: Client::builder().timeout(TIMEOUT).build()?,
        base: url.trim_end_matches('/').to_owned(),
    };
    let steps = PEOPLE.len() + PALETTES.len() * 2;
    let bar = ProgressBar::new(steps as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let mut tokens = Vec::new();
    for name in PEOPLE {
        bar.set_message(format!("account {name}"));
        tokens.push(api.sign_in(name).await?);
        bar.inc(1);
    }
    let mut ids = Vec::new();
    for (number, (name, category, colors)) in PALETTES.iter().enumerate() {
        bar.set_message(format!("palette {name}"));
        let palette = json!({"name": name, "category": category, "color_codes": colors});
        let token = &tokens[number % tokens.len()];
        let made = api.post("/palettes", token, &format!("demo-{name}"), &palette).await?;
        ids.push(made["palette_id"].clone());
        bar.inc(1);
    }
    for (number, id) in ids.iter().enumerate() {
        bar.set_message("likes");
        for token in tokens.iter().take(1 + (number * 5) % tokens.len()) {
            api.post("/like", token, "", &json!({"palette_id": id})).await?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    say(&format!(
        "{} accounts (password: demo-password), {} palettes with likes; see {}/popular",
        PEOPLE.len(),
        PALETTES.len(),
        api.base
    ));
    Ok(())
}

struct Api {
    client: Client,
    base: String,
}

impl Api {
    /// A token for the account, which is made if it is not there.
    async fn sign_in(&self, name: &str) -> Result<String, Box<dyn std::error::Error>> {
        let who = json!({"username": name, "password": "demo-password"});
        let made =
            self.client.post(format!("{}/users/register", self.base)).json(&who).send().await?;
        if !made.status().is_success() && made.status() != StatusCode::CONFLICT {
            return Err(refused(made).await);
        }
        let answer =
            self.client.post(format!("{}/users/login", self.base)).json(&who).send().await?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let answer: Value = answer.json().await?;
        Ok(answer["token"].as_str().unwrap_or_default().to_owned())
    }

    async fn post(
        &self,
        path: &str,
        token: &str,
        key: &str,
        body: &Value,
    ) -> Result<Value, Box<dyn std::error::Error>> {
        let mut request =
            self.client.post(format!("{}{path}", self.base)).bearer_auth(token).json(body);
        if !key.is_empty() {
            request = request.header("Idempotency-Key", key);
        }
        let answer = request.send().await?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        Ok(answer.json().await?)
    }
}

async fn refused(answer: reqwest::Response) -> Box<dyn std::error::Error> {
    let (url, status) = (answer.url().clone(), answer.status());
    let body: Value = answer.json().await.unwrap_or_default();
    format!("{url} answered {status}: {}", body["detail"].as_str().unwrap_or("no reason given"))
        .into()
}
