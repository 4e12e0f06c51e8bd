//! Updates against the stand-in: all outcomes of a code location.

use crate::support::said::plain;
use crate::support::standin::{Connected, Standin};
use pexpress::context::inputs::WaitLimits;
use pexpress::error::{Explain, Fault};
use pexpress::update::{self, Before, Outcome, Update, UpdateError, Updated};
use serde_json::{Value, json};
use std::time::Duration;

const LIMITS: WaitLimits =
    WaitLimits { agent: Some(Duration::from_secs(90)), load: Some(Duration::from_secs(600)), wait: true };

fn document(name: &str, package: &str) -> Value {
    json!({"location_name": name, "code_source": {"package_name": package}})
}

fn update_of(name: &str, package: &str) -> Update {
    Update { name: name.into(), document: document(name, package).as_object().unwrap().clone() }
}

/// Query, update and wait at `prod`.
fn deploy(connected: &Connected, updates: Vec<Update>) -> Vec<Outcome> {
    let client = connected.client.at("prod");
    let before = Before::look(&client).unwrap();
    update::run(&client, updates, &before, LIMITS, &|_| {})
}

/// Deploy one code location with this plan for its load; `one` runs `old` before.
fn deploy_one(config: Value) -> (Result<Updated, UpdateError>, Connected, Standin) {
    let mut config = config;
    config["deployments"] = json!([{"name": "prod", "locations": [document("one", "old")]}]);
    let standin = Standin::start(config);
    let connected = standin.connect();
    let outcome = deploy(&connected, vec![update_of("one", "new")]).remove(0).result;
    standin.journal().assert_clean();
    (outcome, connected, standin)
}

#[test]
fn a_load_is_seen_at_once() {
    let (outcome, connected, standin) = deploy_one(json!({"load": {"*": {"loading_polls": 2}}}));
    assert_eq!(outcome.unwrap(), Updated::Loaded);
    assert_eq!(connected.clock.slept(), [0.1, 0.15]);
    let mut calls = standin.journal().calls();
    let update = calls.iter().position(|call| call == "addOrUpdateLocationFromDocument").unwrap();
    let after = calls.split_off(update + 1);
    // Two queries are sent in parallel.
    calls.sort();
    assert_eq!(calls, ["addOrUpdateLocationFromDocument", "workspace", "workspaceOrError"]);
    // The last look also shows whether it is still our version.
    assert_eq!(after, ["agents+workspaceOrError+workspace"; 3]);
}

#[test]
fn the_version_from_before_is_waited_out() {
    for polls in [1, 5] {
        let (outcome, connected, _standin) =
            deploy_one(json!({"load": {"*": {"stale_polls": polls, "error": {"message": "boom"}}}}));
        assert!(matches!(outcome, Err(UpdateError::Load { .. })), "{polls}");
        assert!(connected.clock.slept().len() > polls);
    }
    let (outcome, ..) = deploy_one(json!({"load": {"*": {"never_flips": true, "never": true}}}));
    assert!(matches!(outcome, Err(UpdateError::LoadTimeout { seconds: 600, .. })), "{outcome:?}");
}

#[test]
fn a_failed_load_shows_the_python_error_and_its_chain() {
    let error = json!({
        "message": "ImportError: no x\n", "stack": ["  File \"a.py\", line 1\n"],
        "chain": [{"explicit": true, "message": "KeyError: y", "stack": []}, {"explicit": false, "message": "ValueError: z"}],
    });
    let (outcome, connected, _standin) = deploy_one(json!({"load": {"*": {"error": error}}}));
    let error = outcome.unwrap_err();
    assert_eq!(error.fault(), Fault::Project);
    assert_eq!(
        error.to_string(),
        "the code location `one` was updated and failed to load:\nImportError: no x\n  File \"a.py\", line 1\n\n\
         The above exception was caused by the following exception:\nKeyError: y\n\n\
         The above exception occurred during handling of the following exception:\nValueError: z"
    );
    insta::assert_snapshot!(plain(&connected.heard.text()), @r#"
    waiting to load: one ([TIME])
    one: failed to load after [TIME]
    "#);
}

#[test]
fn an_endless_load_and_a_missing_agent_time_out() {
    let (outcome, connected, _standin) = deploy_one(json!({"load": {"*": {"never": true}}}));
    assert!(matches!(outcome, Err(UpdateError::LoadTimeout { seconds: 600, .. })), "{outcome:?}");
    let waited: f64 = connected.clock.slept().iter().sum();
    assert!((600.0..601.0).contains(&waited), "{waited}");
    assert!(connected.clock.slept().len() < 140, "polling backs off");
    for absent in [json!(true), json!("none listed")] {
        let (outcome, connected, _standin) = deploy_one(json!({"agents": {"absent": absent}}));
        assert!(matches!(outcome, Err(UpdateError::NoAgent { seconds: 90, .. })), "{outcome:?}");
        let waited: f64 = connected.clock.slept().iter().sum();
        assert!((90.0..91.0).contains(&waited), "{waited}");
    }
}

#[test]
fn without_an_agent_nothing_counts_as_loaded() {
    let agents = json!({"absent": true});
    let (outcome, ..) = deploy_one(json!({"agents": agents, "load": {"*": {"never_flips": true}}}));
    assert!(matches!(outcome, Err(UpdateError::NoAgent { .. })), "{outcome:?}");
}

#[test]
fn an_agent_may_start_late() {
    let (outcome, _, standin) = deploy_one(json!({"agents": {"appears_after_polls": 6}}));
    assert_eq!(outcome.unwrap(), Updated::Loaded);
    assert_eq!(standin.journal().count("agents"), 7);
}

/// A server may not know a field of the common document, or not show it to this token.
#[test]
fn a_look_without_one_of_its_answers_asks_each_question() {
    for config in [
        json!({"field_errors": {"agents": "Unauthorized field"}}),
        json!({"field_errors": {"workspace": "Unauthorized field"}}),
        json!({"unknown_fields": ["serializedDeploymentMetadata"]}),
        json!({"unknown_fields": ["updatedTimestamp"]}),
    ] {
        let (outcome, _, standin) = deploy_file(config.clone());
        assert_eq!(outcome.unwrap(), Updated::Loaded, "{config}");
        let calls = standin.journal().calls();
        let together = calls.iter().filter(|call| call.starts_with("agents+")).count();
        assert!(together <= 1, "{config}: {calls:?}");
    }
    // Any other error may be gone at the next look.
    let (outcome, _, standin) =
        deploy_file(json!({"field_errors": {"workspace": "internal"}, "load": {"*": {"loading_polls": 5}}}));
    assert_eq!(outcome.unwrap(), Updated::Loaded);
    assert!(standin.journal().count("agents+") > 1);
}

#[test]
fn the_same_document_again_is_done_at_once() {
    let locations = json!([document("one", "same")]);
    let standin = Standin::start(json!({
        "deployments": [{"name": "prod", "locations": locations}],
        "load": {"*": {"unchanged_keeps_stamp": true}},
    }));
    let connected = standin.connect();
    let outcome = deploy(&connected, vec![update_of("one", "same")]).remove(0).result;
    assert_eq!((outcome.unwrap(), connected.clock.slept().len()), (Updated::Loaded, 0));
}

#[test]
fn code_locations_fail_alone() {
    let standin = Standin::start(json!({
        "deployments": [{"name": "prod"}],
        "load": {"bad_load": {"error": {"message": "boom"}}, "slow": {"loading_polls": 30}},
    }));
    let connected = standin.connect();
    let mut invalid = update_of("invalid", "p");
    invalid.document.insert("build".into(), json!({}));
    let updates = vec![update_of("good", "p"), invalid, update_of("bad_load", "p"), update_of("slow", "p")];
    let outcomes = deploy(&connected, updates);
    let names: Vec<_> = outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
    assert_eq!(names, ["good", "invalid", "bad_load", "slow"]);
    assert!(matches!(outcomes[0].result, Ok(Updated::Loaded)));
    let refused = outcomes[1].result.as_ref().unwrap_err();
    assert_eq!(refused.fault(), Fault::Project);
    let cause = std::error::Error::source(refused).unwrap().to_string();
    insta::assert_snapshot!(cause, @"could not update the code location: InvalidLocationError: unknown key `build`");
    assert!(matches!(outcomes[2].result, Err(UpdateError::Load { .. })));
    assert!(matches!(outcomes[3].result, Ok(Updated::Loaded)));
    // One call for all, and after its refusal one each.
    let journal = standin.journal();
    assert_eq!((journal.count("deployLocations"), journal.count("addOrUpdateLocationFromDocument")), (1, 4));
}

#[test]
fn good_code_locations_take_one_call() {
    let standin = Standin::start(json!({}));
    let connected = standin.connect();
    let outcomes = deploy(&connected, (0..100).map(|n| update_of(&format!("l{n}"), "p")).collect());
    assert!(outcomes.iter().all(|outcome| matches!(outcome.result, Ok(Updated::Loaded))));
    let journal = standin.journal();
    assert_eq!((journal.count("deployLocations"), journal.count("addOrUpdateLocationFromDocument")), (1, 0));
    journal.assert_clean();
}

#[test]
fn an_unknown_outcome_is_not_a_success() {
    let (outcome, ..) = deploy_one(
        json!({"faults": [{"operation": "workspaceOrError", "call": 2, "times": 0, "status": 503}]}),
    );
    let error = outcome.unwrap_err();
    assert!(matches!(error, UpdateError::Unseen { .. }), "{error}");
    assert_eq!(error.fault(), Fault::Remote);
}

#[test]
fn an_update_that_failed_is_not_waited_for() {
    for action in [json!({"status": 500}), json!({"errors": [{"message": "no"}]}), json!({"html": true})] {
        let mut rule = json!({"operation": "addOrUpdateLocationFromDocument", "times": 0});
        rule.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
        let (outcome, _, standin) = deploy_one(json!({"faults": [rule]}));
        assert!(matches!(outcome, Err(UpdateError::Uncertain { .. })), "{outcome:?}");
        assert_eq!(standin.journal().count("agents"), 0);
    }
}

/// Users saw `was not updated` for a code location that loaded a minute later: a gateway had lost each reply.
#[test]
fn an_update_with_lost_replies_is_checked() {
    let of = |fault: Value| {
        let standin = Standin::start(json!({"faults": [fault]}));
        standin.control("put-object", &json!({"name": "deps-1.pex", "text": "PEX"}));
        let mut update = update_of("one", "new");
        update.document.insert("pex_metadata".into(), json!({"pex_tag": "files=deps-1.pex"}));
        deploy(&standin.connect(), vec![update]).remove(0).result
    };
    let operation = "addOrUpdateLocationFromDocument";
    let lost = of(json!({"operation": operation, "status": 502, "times": 0, "apply": true}));
    assert_eq!(lost.unwrap(), Updated::Loaded);
    for fault in [
        json!({"operation": operation, "status": 502, "times": 0}),
        json!({"operation": operation, "reset": true, "times": 0}),
    ] {
        let result = of(fault);
        assert!(matches!(result, Err(UpdateError::Uncertain { .. })), "{result:?}");
    }
    let refused = of(json!({"operation": operation, "status": 400, "times": 0}));
    assert!(matches!(refused, Err(UpdateError::Refused { .. })), "{refused:?}");
}

/// `one` is deployed with a PEX file that is stored, at `prod` where it ran `old` before.
fn deploy_file(config: Value) -> (Result<Updated, UpdateError>, Connected, Standin) {
    let standin = Standin::start(json!({}));
    let (outcome, connected) = deploy_file_at(&standin, config);
    (outcome, connected, standin)
}

/// The same with a stand-in in its initial state.
fn deploy_file_at(standin: &Standin, config: Value) -> (Result<Updated, UpdateError>, Connected) {
    let mut config = config;
    config["token"] = json!(crate::support::standin::TOKEN);
    if config["deployments"].is_null() {
        config["deployments"] = json!([{"name": "prod", "locations": [document("one", "old")]}]);
    }
    standin.control("reset", &config);
    standin.control("put-object", &json!({"name": "deps-1.pex", "text": "PEX"}));
    let connected = standin.connect();
    let outcome = deploy(&connected, vec![update_with_file("one")]).remove(0).result;
    (outcome, connected)
}

fn update_with_file(name: &str) -> Update {
    let mut update = update_of(name, "new");
    update.document.insert("pex_metadata".into(), json!({"pex_tag": "files=deps-1.pex"}));
    update
}

fn faults(operation: &str, call: u64, times: u64, action: &Value) -> Value {
    let mut rule = json!({"operation": operation, "call": call, "times": times});
    rule.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
    json!({"faults": [rule], "load": {"*": {"loading_polls": 2}}})
}

/// Users saw `unknown` for code locations that ran: one query of the wait had failed.
#[test]
fn a_wait_survives_temporary_errors() {
    let standin = Standin::start(json!({}));
    for action in [
        json!({"status": 401}),
        json!({"status": 404, "html": true}),
        json!({"status": 500}),
        json!({"html": true}),
        json!({"errors": [{"message": "internal"}]}),
        json!({"data": {"workspaceOrError": null, "agents": null, "workspace": null}}),
        json!({"data": {"workspaceOrError": {"__typename": "Novelty"}}}),
        json!({"beside": {"errors": [{"message": "half"}]}}),
        json!({"replace": ["LOAD", "REPAIR"]}),
        json!({"replace": ["RepositoryLocation", "Novelty"]}),
        json!({"huge": 70_000_000}),
        json!({"reset": true}),
    ] {
        for (operation, call) in
            [("workspaceOrError", 2), ("workspaceOrError", 4), ("agents", 1), ("workspace", 2)]
        {
            let (outcome, _) = deploy_file_at(&standin, faults(operation, call, 3, &action));
            assert!(matches!(outcome, Ok(Updated::Loaded)), "{operation} {action}: {outcome:?}");
            standin.journal().assert_clean();
        }
    }
}

#[test]
fn a_state_without_an_answer_for_minutes_is_unknown() {
    for (operation, action) in [
        ("workspaceOrError", json!({"status": 401})),
        ("workspaceOrError", json!({"replace": ["LOADED", "REPAIRED"]})),
        ("workspace", json!({"status": 404, "html": true})),
    ] {
        let (outcome, connected, _standin) = deploy_file(faults(operation, 2, 0, &action));
        assert!(matches!(outcome, Err(UpdateError::Unseen { .. })), "{operation} {action}: {outcome:?}");
        let most = if action["status"] == 401 { 20.0 } else { 700.0 };
        assert!(connected.clock.slept().iter().sum::<f64>() < most, "{operation} {action}");
        let hint = outcome.unwrap_err().hint().unwrap();
        assert_eq!(hint.contains("DAGSTER_CLOUD_API_TOKEN"), action["status"] == 401, "{hint}");
    }
}

#[test]
fn unreadable_agents_do_not_hide_a_load() {
    let (outcome, ..) = deploy_file(faults("agents", 1, 0, &json!({"status": 404})));
    assert!(matches!(outcome, Ok(Updated::Loaded)), "{outcome:?}");
    let never = json!({"load": {"*": {"never": true}}, "faults": [{"operation": "agents", "times": 0, "status": 404}]});
    let (outcome, ..) = deploy_file(never);
    assert!(matches!(outcome, Err(UpdateError::Unseen { .. })), "{outcome:?}");
}

/// Users saw `loaded` for files that never ran: another run had deployed while this one waited.
#[test]
fn a_deploy_by_another_run_meanwhile_is_not_taken_for_ours() {
    let mut other = document("one", "theirs");
    other["pex_metadata"] = json!({"pex_tag": "files=other.pex"});
    let meanwhile =
        |what: &str, value: &Value| faults("workspaceOrError", 3, 1, &json!({"before": {what: value}}));
    let (outcome, ..) = deploy_file(meanwhile("overwrite", &other));
    let error = outcome.unwrap_err();
    assert!(
        matches!(&error, UpdateError::Overtaken { now: Some(tag), .. } if tag == "files=other.pex"),
        "{error}"
    );
    assert_eq!(error.fault(), Fault::Remote);
    let (outcome, ..) = deploy_file(meanwhile("overwrite", &document("one", "an image")));
    assert!(
        matches!(&outcome, Err(UpdateError::Overtaken { now: Some(tag), .. }) if tag.is_empty()),
        "{outcome:?}"
    );
    let (outcome, ..) = deploy_file(meanwhile("remove-location", &json!("one")));
    assert!(matches!(outcome, Err(UpdateError::Overtaken { now: None, .. })), "{outcome:?}");
    let (outcome, connected, _standin) = deploy_file(meanwhile("remove-deployment", &Value::Null));
    let error = outcome.unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    // The only deployment of the organization, so no answer can say that it was deleted.
    assert!(source.is_some_and(|source| source.contains("/prod does not exist")), "{error}");
    assert!(connected.clock.slept().iter().sum::<f64>() < 20.0, "{error}");
}

#[test]
fn files_that_vanish_before_the_load_are_a_failed_load() {
    let vanishes = faults("agents", 1, 1, &json!({"before": {"delete-object": "deps-1.pex"}}));
    let (outcome, ..) = deploy_file(vanishes);
    assert!(matches!(outcome, Err(UpdateError::Load { .. })), "{outcome:?}");
}

#[test]
fn an_unknown_state_does_not_make_the_old_load_a_new_one() {
    let mut config = faults("workspaceOrError", 2, 1, &json!({"replace": ["LOADED", "REPAIRED"]}));
    config["load"] = json!({"*": {"stale_polls": 4, "error": {"message": "boom"}}});
    let (outcome, ..) = deploy_file(config);
    assert!(matches!(outcome, Err(UpdateError::Load { .. })), "{outcome:?}");
}

#[test]
fn the_same_document_again_is_loaded_even_if_answers_are_lost() {
    let mut same = document("one", "new");
    same["pex_metadata"] = json!({"pex_tag": "files=deps-1.pex"});
    let mut config = faults("addOrUpdateLocationFromDocument", 1, 0, &json!({"status": 502, "apply": true}));
    config["deployments"] = json!([{"name": "prod", "locations": [same]}]);
    let (outcome, ..) = deploy_file(config);
    assert!(matches!(outcome, Ok(Updated::Loaded)), "{outcome:?}");
}

#[test]
fn a_server_error_does_not_mean_that_nothing_was_done() {
    let operation = "addOrUpdateLocationFromDocument";
    for type_name in ["PythonError", "Novelty"] {
        let error = json!({"data": {operation: {"__typename": type_name, "message": "late"}}});
        let mut applied = error.clone();
        applied["apply"] = json!(true);
        let (outcome, ..) = deploy_file(faults(operation, 1, 0, &applied));
        assert!(matches!(outcome, Ok(Updated::Loaded)), "{type_name}: {outcome:?}");
        let (outcome, ..) = deploy_file(faults(operation, 1, 0, &error));
        assert!(matches!(outcome, Err(UpdateError::Refused { .. })), "{type_name}: {outcome:?}");
    }
    let (outcome, ..) = deploy_file(faults(operation, 1, 0, &json!({"status": 429, "apply": true})));
    assert!(matches!(outcome, Ok(Updated::Loaded)), "{outcome:?}");
    let (outcome, ..) = deploy_file(faults(operation, 1, 0, &json!({"status": 429})));
    assert!(matches!(outcome, Err(UpdateError::Refused { .. })), "{outcome:?}");
}

/// A clock that is set back all the time.
#[derive(Default)]
struct SetBack(std::sync::Mutex<Duration>);

impl pexpress::host::Clock for SetBack {
    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) - *self.0.lock().unwrap()
    }
    fn sleep(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

/// Users would have waited for ever on a machine whose clock is set back.
#[test]
fn a_clock_that_goes_back_does_not_prolong_a_wait() {
    let standin = Standin::start(json!({"load": {"*": {"never": true}}}));
    let connected = standin.connect_by(std::sync::Arc::new(SetBack::default()));
    let before = Before::look(&connected.at("prod")).unwrap();
    let outcome = update::run(&connected.at("prod"), vec![update_of("one", "p")], &before, LIMITS, &|_| {});
    assert!(matches!(outcome[0].result, Err(UpdateError::LoadTimeout { seconds: 600, .. })), "{outcome:?}");
}

/// Users waited for ten minutes and saw a red run: the server has one load stamp for several updates.
#[test]
fn a_load_without_a_new_stamp_settles() {
    let config = |unknown: Value| json!({"load": {"*": {"keeps_stamp": true, "never_flips": true, "loading_polls": 4}}, "unknown_fields": unknown});
    // The server reports whether the loaded version is outdated …
    let (outcome, connected, _standin) = deploy_file(config(json!([])));
    assert_eq!(outcome.unwrap(), Updated::Loaded);
    assert!(connected.clock.slept().iter().sum::<f64>() < 5.0);
    // … or it does not, and is only asked once.
    let (outcome, connected, standin) = deploy_file(config(json!(["hasOutdatedData"])));
    assert_eq!(outcome.unwrap(), Updated::Loaded);
    let waited: f64 = connected.clock.slept().iter().sum();
    assert!((60.0..70.0).contains(&waited), "{waited}");
    let asked = standin.journal();
    let refused = asked.0["requests"].as_array().unwrap().iter().filter(|one| one["status"] == 400).count();
    assert_eq!(refused, 1);
    let failing = json!({
        "load": {"*": {"keeps_stamp": true, "error": {"message": "boom"}}}, "unknown_fields": ["hasOutdatedData"],
    });
    let (outcome, ..) = deploy_file(failing);
    assert!(matches!(outcome, Err(UpdateError::Load { .. })), "{outcome:?}");
}

#[test]
fn an_outdated_load_never_counts() {
    let (outcome, ..) = deploy_file(json!({"load": {"*": {"never_flips": true, "never": true}}}));
    assert!(matches!(outcome, Err(UpdateError::LoadTimeout { .. })), "{outcome:?}");
}

#[test]
fn load_stamps_are_queried_once_from_a_server_without_them() {
    let (outcome, _, standin) = deploy_file(
        json!({"load": {"*": {"loading_polls": 5}}, "unknown_fields": ["updatedTimestamp", "hasOutdatedData"]}),
    );
    assert_eq!(outcome.unwrap(), Updated::Loaded);
    let journal = standin.journal();
    let refused = journal.0["requests"].as_array().unwrap().iter().filter(|one| one["status"] == 400);
    let refused: Vec<_> = refused.map(|one| one["operation"].as_str().unwrap_or_default()).collect();
    assert!(refused.len() <= 2, "{refused:?}");
}

/// Users waited for the load of a deleted code location.
#[test]
fn a_code_location_that_is_deleted_meanwhile_is_noticed_at_once() {
    let remove = json!({"before": {"remove-location": "one"}});
    let mut config = faults("workspaceOrError", 3, 1, &remove);
    config["load"] = json!({"*": {"never": true}});
    let (outcome, connected, _standin) = deploy_file(config);
    assert!(matches!(outcome, Err(UpdateError::Overtaken { now: None, .. })), "{outcome:?}");
    assert!(connected.clock.slept().iter().sum::<f64>() < 5.0);
}
