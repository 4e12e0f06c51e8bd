//! Arguments of `cache`.

use crate::cache::prune::{DAY, Limits};
use clap::{Args, Subcommand};
use std::time::Duration;

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Print its directory.
    Dir,
    /// Print the size of its parts.
    Size,
    /// Remove what was not used for some time, and what makes it too large.
    ///
    /// Safe next to running builds: nothing that was used within a day is removed. Deploys do the same with the default
    /// limits, at most once a day.
    Prune(PruneArgs),
    /// Remove everything, unless another run uses the cache.
    Clean,
}

/// Arguments of `cache prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Remove what was not used for this many days; at least 1.
    #[arg(long, value_name = "DAYS", default_value = "30", value_parser = days)]
    pub unused_for: Duration,
    /// Then remove what was not used for the longest time, until this much is left: bytes, or a number with kB, MB or GB.
    #[arg(long, value_name = "SIZE", default_value = "10GB", value_parser = size_bytes)]
    pub max_size: u64,
    /// Only print what would be removed.
    #[arg(long)]
    pub dry_run: bool,
}

impl PruneArgs {
    /// The limits.
    pub fn limits(&self) -> Limits {
        Limits { unused_for: self.unused_for, size_bytes: self.max_size }
    }
}

fn days(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(days @ 1..) => Ok(DAY * days),
        _ => Err("it must be a whole number of days, at least 1".into()),
    }
}

fn size_bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|each: char| !each.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kb" => Some(1_000),
        "m" | "mb" => Some(1_000_000),
        "g" | "gb" => Some(1_000_000_000),
        _ => None,
    };
    let bytes =
        number.parse().ok().zip(factor).and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
    bytes.ok_or_else(|| "it must be a whole number of bytes, or with a unit, such as 500MB or 10GB".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_days_are_whole() {
        for (text, want) in [("0", 0), ("512", 512), ("500MB", 500_000_000), ("10 gb", 10_000_000_000)] {
            assert_eq!(size_bytes(text), Ok(want), "{text}");
        }
        for text in ["", "GB", "1.5GB", "-1", "10 stones", "99999999999999999999", "99999999999GB"] {
            assert!(size_bytes(text).is_err(), "{text}");
        }
        assert_eq!(days("2"), Ok(DAY * 2));
        assert!(days("0").is_err() && days("1.5").is_err());
    }
}
