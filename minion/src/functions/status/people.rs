//! Who is logged in.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::tool::Tool;
use super::super::{Context, Fault, Outcome};

pub(super) async fn w(context: Context) -> Result<Outcome, Fault> {
    // Without a head, and without the column of where from, which is often empty.
    let text = Tool::new("w", ["-hf"]).timeout(Duration::from_secs(10)).output(&context).await?;
    Ok(Outcome::from(text.lines().filter_map(row).collect::<Vec<Value>>()))
}

fn row(line: &str) -> Option<Value> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [user, tty, login, idle, jcpu, pcpu, what @ ..] = words.as_slice() else { return None };
    Some(json!({
        "user": user, "tty": tty, "login": login, "idle": idle, "jcpu": jcpu, "pcpu": pcpu, "what": what.join(" "),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let expected = json!({
            "user": "root", "tty": "pts/0", "login": "09:41", "idle": "1:02", "jcpu": "0.05s", "pcpu": "0.01s",
            "what": "vi /etc/motd",
        });
        assert_eq!(row("root     pts/0     09:41    1:02   0.05s  0.01s vi /etc/motd"), Some(expected));
        assert_eq!(row("root pts/0"), None);
    }
}
