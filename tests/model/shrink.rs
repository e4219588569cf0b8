//! Makes a script that breaks a promise as small as it gets.

use crate::run::play;

/// Leaves out whatever the same promise is broken without.
pub fn shrink(script: &str) -> String {
    let Some(promise) = play(script, false).promise else {
        return script.to_owned();
    };
    let mut lines: Vec<&str> = script.lines().collect();
    let mut has_shrunk = true;
    while has_shrunk {
        has_shrunk = false;
        let mut index = 0;
        while index < lines.len() {
            let mut fewer = lines.clone();
            let line = fewer.remove(index);
            let is_needed = line.starts_with("nodes ")
                || line.starts_with("weather ")
                || line.ends_with("calm");
            if !is_needed && play(&text(&fewer), false).promise == Some(promise) {
                lines = fewer;
                has_shrunk = true;
            } else {
                index += 1;
            }
        }
    }
    text(&lines)
}

fn text(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
