//! How many requests a push takes, and how many of them have to wait for one another.

use crate::support::scene::Scene;
use crate::support::small_project::write_lock;
use crate::support::standin::Journal;
use crate::support::step::Ran;
use serde_json::{Value, json};

/// Longer than what a busy machine takes between two requests that are sent side by side.
const LATENCY_SECONDS: f64 = 0.3;

fn push(scene: &Scene) -> (Ran, Journal) {
    scene.dagster.control("journal", &Value::Null);
    let ran = scene.step().event("push", &json!({"ref": "refs/heads/main"})).run();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
    let journal = scene.dagster.journal();
    journal.assert_clean();
    (ran, journal)
}

/// The requests up to the update, and all of them; the round trips of both.
fn counts(journal: &Journal) -> [usize; 4] {
    let calls = journal.calls();
    let update = calls.iter().position(|call| call == "addOrUpdateLocationFromDocument").unwrap();
    let requests = journal.0["requests"].as_array().unwrap();
    let before = Journal(json!({"requests": requests[..=update]}));
    [update + 1, calls.len(), before.round_trips(), journal.round_trips()]
}

#[test]
fn a_push_of_one_line_takes_few_requests() {
    for (what, is_locked) in [("requirements.txt", false), ("pylock.toml", true)] {
        let scene = Scene::new(&[("one", "")], json!({}));
        if is_locked {
            write_lock(scene.dir.path());
        }
        push(&scene);
        scene.dagster.control("config", &json!({"latency_seconds": LATENCY_SECONDS}));
        std::fs::write(scene.dir.path().join("one/defs.py"), "changed = 1\n").unwrap();
        let (ran, journal) = push(&scene);
        assert_eq!(ran.json("locations")[0]["sent"], json!({"source": "uploaded", "deps": "cached"}));
        let calls = journal.calls();
        // The second look of two is the first at which an agent of the stand-in has loaded anything.
        assert_eq!(counts(&journal), [6, 8, 4, 6], "{what}: {calls:#?}");
        assert_eq!(scene.github.journal().requests().len(), 0, "{what}");
    }
}

#[test]
fn a_server_that_answers_only_single_questions_gets_them() {
    let scene = Scene::new(&[("one", "")], json!({}));
    push(&scene);
    for config in [
        json!({"field_errors": {"agents": "Unauthorized"}}),
        json!({"unknown_fields": ["workspaceEntries"]}),
        json!({"unknown_fields": ["updatedTimestamp"]}),
        json!({"unknown_fields": ["agentType"]}),
    ] {
        scene.dagster.control("config", &json!({"field_errors": {}, "unknown_fields": []}));
        scene.dagster.control("config", &config);
        std::fs::write(scene.dir.path().join("one/defs.py"), format!("'{config}'\n")).unwrap();
        let (ran, _) = push(&scene);
        assert_eq!(ran.json("locations")[0]["state"], "loaded", "{config}: {}", ran.log);
    }
}

#[test]
fn a_hundred_code_locations_take_few_requests() {
    let names: Vec<(String, String)> =
        (0..100).map(|n| (format!("l{n}"), format!("extra=={}", n % 10 + 1))).collect();
    let named: Vec<(&str, &str)> = names.iter().map(|(name, lines)| (&**name, &**lines)).collect();
    let scene = Scene::new(&named, json!({}));
    push(&scene);
    let (_, nothing) = push(&scene);
    // Ten records and ten deps PEX files; the first question, one call for URLs, the update, and two looks.
    assert_eq!(nothing.calls().len(), 25, "{:#?}", nothing.calls());
    std::fs::write(scene.dir.path().join("l7/defs.py"), "changed = 1\n").unwrap();
    let (_, one) = push(&scene);
    // Two URLs in one call, and the upload.
    assert_eq!(one.calls().len(), 27, "{:#?}", one.calls());
    assert_eq!(one.count("PUT"), 1);
}

/// Many files are not looked for one by one, so a registry that lost one of them is only noticed by the load.
#[test]
fn a_served_file_that_is_gone_is_a_failed_load_and_comes_back() {
    let names: Vec<String> = (0..9).map(|n| format!("l{n}")).collect();
    let named: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "")).collect();
    let scene = Scene::new(&named, json!({}));
    push(&scene);
    let state = scene.dagster.state();
    let tag = state["deployments"]["prod"]["serving"]["l4"].as_str().unwrap().to_string();
    let source =
        tag.split(':').find_map(|file| file.find("source-").map(|at| file[at..].to_string())).unwrap();
    scene.dagster.control("delete-object", &json!(source));
    let step = || scene.step().event("push", &json!({"ref": "refs/heads/main"})).run();
    let failed = step();
    let states = |ran: &Ran| -> Vec<Value> {
        ran.json("locations").as_array().unwrap().iter().map(|one| one["state"].clone()).collect()
    };
    assert_eq!(
        (failed.code, states(&failed)[4].clone()),
        (Some(1), json!("failed_to_load")),
        "{}",
        failed.log
    );
    assert!(states(&failed).iter().enumerate().all(|(at, state)| at == 4 || state == "loaded"));
    let again = step();
    assert_eq!((again.code, states(&again)[4].clone()), (Some(0), json!("loaded")), "{}", again.log);
    assert_eq!(again.json("locations")[4]["sent"]["source"], "uploaded");
    // A deps PEX is always looked for.
    let deps = tag.split(['=', ':']).find(|file| file.starts_with("deps-")).unwrap();
    scene.dagster.control("delete-object", &json!(deps));
    let (ran, _) = push(&scene);
    assert_eq!(ran.json("locations")[4]["sent"]["deps"], "uploaded");
}
