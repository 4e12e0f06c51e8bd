//! Tests of `wait.rs`.

use super::*;
use crate::dagster::operations::LoadStamp;

fn state(loaded: bool, stamp: Option<f64>, failure: Option<&str>) -> LoadState {
    LoadState {
        name: "one".into(),
        loaded,
        unclear: false,
        failure: failure.map(|message| PythonFailure {
            message: message.into(),
            stack: Vec::new(),
            chain: Vec::new(),
        }),
        stamp: stamp.map(|updated_seconds| LoadStamp { updated_seconds, version: String::new() }),
    }
}

#[test]
fn the_version_from_before_is_not_taken_for_the_new_one() {
    let old = state(true, Some(1.0), None);
    let blind = state(true, None, None);
    let failed = state(true, Some(1.0), Some("boom"));
    let certain = Sight::Certain(None);
    let boom = failed.failure.clone();
    for (case, now, before, seen_loading, unchanged, want) in [
        ("loading", state(false, Some(2.0), None), Some(&old), false, false, Sight::Pending),
        ("new location", state(true, Some(2.0), None), None, false, false, certain.clone()),
        ("new stamp", state(true, Some(2.0), None), Some(&old), false, false, certain.clone()),
        ("old stamp", old.clone(), Some(&old), false, false, Sight::Stale(None)),
        ("old stamp, seen loading", old.clone(), Some(&old), true, false, certain.clone()),
        ("old stamp, same document", old.clone(), Some(&old), false, true, certain.clone()),
        (
            "was loading before",
            old.clone(),
            Some(&state(false, Some(1.0), None)),
            false,
            false,
            Sight::Stale(None),
        ),
        (
            "was loading before, same document",
            old.clone(),
            Some(&state(false, Some(1.0), None)),
            false,
            true,
            certain.clone(),
        ),
        (
            "was loading before, new stamp",
            state(true, Some(2.0), None),
            Some(&state(false, Some(1.0), None)),
            false,
            false,
            certain.clone(),
        ),
        (
            "not understood",
            LoadState { unclear: true, ..state(true, Some(2.0), None) },
            Some(&old),
            false,
            false,
            Sight::Pending,
        ),
        ("no stamps", blind.clone(), Some(&blind), false, false, Sight::Doubtful(None)),
        ("no stamps, same document", blind.clone(), Some(&blind), false, true, certain.clone()),
        ("failed again", failed.clone(), Some(&old), false, false, Sight::Certain(boom.clone())),
        ("failed before", failed.clone(), Some(&failed), false, false, Sight::Stale(boom.clone())),
        ("failed before, same document", failed.clone(), Some(&failed), false, true, Sight::Doubtful(boom)),
    ] {
        assert_eq!(sight(&now, before, seen_loading, || unchanged), want, "{case}");
    }
}
