//! `--name value` pairs, sizes and durations for the programs of the benchmark.
//!
//! Invariant: an unknown option is an error, so that a typo does not change what is measured.

use std::collections::HashMap;
use std::time::Duration;

pub struct Options {
    pairs: HashMap<String, String>,
}

impl Options {
    /// Reads the arguments. A switch is an option without a value.
    pub fn parse(known: &[&str], switches: &[&str]) -> Result<Options, String> {
        let mut pairs = HashMap::new();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                return Err(format!("not an option: {argument}"));
            };
            let value = if switches.contains(&name) {
                String::new()
            } else if known.contains(&name) {
                arguments.next().ok_or(format!("--{name} needs a value"))?
            } else {
                return Err(format!("unknown option: --{name}"));
            };
            pairs.insert(name.to_owned(), value);
        }
        Ok(Options { pairs })
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs.get(name).map(String::as_str)
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.pairs.contains_key(name)
    }

    pub fn required(&self, name: &str) -> Result<&str, String> {
        self.text(name).ok_or(format!("--{name} is needed"))
    }

    pub fn size(&self, name: &str) -> Result<Option<u64>, String> {
        self.text(name)
            .map(|text| size(text).ok_or(format!("--{name}: not a size: {text}")))
            .transpose()
    }

    pub fn number(&self, name: &str, default: usize) -> Result<usize, String> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name}: not a number: {text}")),
        }
    }

    pub fn duration(&self, name: &str) -> Result<Duration, String> {
        let Some(text) = self.text(name) else { return Ok(Duration::ZERO) };
        let parsed = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => number.parse::<f64>().map(|n| n / 1e3),
            (None, Some(number)) => number.parse(),
            (None, None) => text.parse(),
        };
        match parsed {
            Ok(seconds) if seconds >= 0.0 => Ok(Duration::from_secs_f64(seconds)),
            _ => Err(format!("--{name}: not a duration: {text}")),
        }
    }
}

/// `64KiB`, `128M` (= MiB), `20MB` (decimal), `1024`; `/s` may follow.
fn size(text: &str) -> Option<u64> {
    let text = text.strip_suffix("/s").unwrap_or(text);
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit: u64 = match &text[digits..] {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    Some((number * unit as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_read_with_their_units_and_nonsense_is_not() {
        assert_eq!(size("128M"), Some(128 << 20));
        assert_eq!(size("1.5GiB"), Some(3 << 29));
        assert_eq!(size("20MB/s"), Some(20_000_000));
        assert_eq!(size("7"), Some(7));
        assert_eq!(size("7 apples"), None);
    }
}
