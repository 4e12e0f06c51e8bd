//! What a layer holds, in words: `numpy==2.3.4, pandas==2.3.3`, `venv`, `source`. The config of an image has them in its
//! history, where later runs read which distributions are in an image that is deployed.

/// Start of a step of the history that pexpress wrote.
const STEP: &str = "pexpress: ";
const SEPARATOR: &str = ", ";

/// The words for a layer of distributions, given by name and version.
pub fn of_distributions<'d>(distributions: impl Iterator<Item = (&'d str, &'d str)>) -> String {
    let pins = distributions.map(|(name, version)| format!("{name}=={version}"));
    pins.collect::<Vec<_>>().join(SEPARATOR)
}

/// The step of the history for a layer with this in it.
pub fn step(what: &str) -> String {
    format!("{STEP}{what}")
}

/// What a step of the history says to be in its layer; `None` if it is not one of ours.
pub fn of_step(created_by: &str) -> Option<&str> {
    created_by.strip_prefix(STEP)
}

/// Name and version of each distribution in the words for a layer.
pub fn distributions(what: &str) -> impl Iterator<Item = (String, String)> {
    let pins = what.split(SEPARATOR).filter_map(|pin| pin.split_once("=="));
    pins.map(|(name, version)| (name.to_string(), version.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let two = [("numpy", "2.3.4"), ("pandas", "2.3.3+local.1")];
        let what = of_distributions(two.into_iter());
        assert_eq!(what, "numpy==2.3.4, pandas==2.3.3+local.1");
        let written = step(&what);
        let read: Vec<(String, String)> = distributions(of_step(&written).unwrap()).collect();
        assert_eq!(read, two.map(|(name, version)| (name.to_string(), version.to_string())));
        assert_eq!(of_step("ADD rootfs"), None);
        for other in ["venv", "source", "shop"] {
            assert_eq!(distributions(other).count(), 0, "{other}");
        }
    }
}
