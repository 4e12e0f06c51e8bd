//! Hints for unknown keys.

use crate::near_names::closest;

/// `did you mean …?`, `… belongs …`, or the list of known keys.
///
/// `homes` are other places with their keys: `("under `build`", ["directory", …])`.
pub(super) fn hint(key: &str, known: &[&str], homes: &[(&str, Vec<&str>)]) -> String {
    if let Some(closest) = closest(key, known) {
        return format!("did you mean `{closest}`?");
    }
    if let Some((home, _)) = homes.iter().find(|(_, keys)| keys.contains(&key)) {
        return format!("`{key}` belongs {home}");
    }
    format!("known here: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_the_closest_key_the_right_place_or_all_keys() {
        let homes = [("under `build`", vec!["directory"])];
        for (key, want) in [
            ("Location-Name", "did you mean `location_name`?"),
            ("imge", "did you mean `image`?"),
            ("directory", "`directory` belongs under `build`"),
            ("zzzzzzzz", "known here: location_name, image"),
        ] {
            assert_eq!(hint(key, &["location_name", "image"], &homes), want);
        }
    }
}
