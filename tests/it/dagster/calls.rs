//! Single calls against the stand-in: what is retried, what ends a run, and the messages.

use crate::support::standin::{Standin, TOKEN};
use pexpress::dagster::DagsterError;
use pexpress::dagster::operations::Method;
use pexpress::error::{Explain, Fault};
use pexpress::net::agent::Timeouts;
use serde_json::{Map, Value, json};
use std::time::Duration;

fn document(name: &str) -> Map<String, Value> {
    let document = json!({"location_name": name, "code_source": {"package_name": "p"}});
    document.as_object().unwrap().clone()
}

/// A rule of the fault script for a root field.
fn fault(field: &str, action: Value) -> Value {
    let mut rule = json!({"operation": field});
    rule.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
    rule
}

#[test]
fn transient_failures_are_retried_for_queries_and_mutations() {
    let standin = Standin::start(json!({}));
    for action in [
        json!({"status": 408}),
        json!({"status": 500, "body": "oops"}),
        json!({"status": 500, "errors": [{"message": "internal"}]}),
        json!({"status": 429}),
        json!({"status": 409}),
        json!({"status": 502}),
        json!({"status": 503}),
        json!({"status": 504}),
        json!({"status": 503, "errors": [{"message": "upstream"}]}),
        json!({"status": 502, "html": true}),
        json!({"reset": true}),
        json!({"reset_mid_body": true}),
        json!({"truncate": true}),
        json!({"reset": true, "apply": true}),
        json!({"html": true}),
        json!({"redirect": 307}),
        json!({"status": 200, "body": "{}"}),
        json!({"length": 5}),
        json!({"length": -5}),
        json!({"status": 503, "headers": {"Retry-After": "-1"}}),
        json!({"status": 503, "headers": {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}}),
    ] {
        for field in ["serverless", "addOrUpdateLocationFromDocument"] {
            standin.control("faults", &json!([fault(field, action.clone())]));
            standin.control("journal", &Value::Null);
            let connected = standin.connect();
            let done = match field {
                "serverless" => connected.client.registry().map(drop),
                _ => connected.client.update_location(&document("one")),
            };
            done.unwrap_or_else(|error| panic!("{field} {action}: {error}"));
            assert_eq!(standin.journal().count(field), 2, "{field} {action}");
            assert!((1.0..=1.25).contains(&connected.clock.slept()[0]), "{field} {action}");
            standin.journal().assert_clean();
        }
    }
}

#[test]
fn retries_end_and_say_how_many_there_were() {
    let standin = Standin::start(json!({"faults": [{"operation": "*", "times": 0, "status": 503}]}));
    let connected = standin.connect();
    let error = connected.client.registry().unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not ask for the registry: Dagster+ answered 503 Service Unavailable after 4 attempts"
    );
    assert_eq!((standin.journal().count("serverless"), connected.clock.slept().len()), (4, 3));
}

#[test]
fn retry_after_holds_for_its_own_retry_only() {
    let standin = Standin::start(json!({"faults": [
        {"operation": "serverless", "status": 429, "headers": {"Retry-After": "7"}},
        {"operation": "serverless", "call": 2, "reset": true},
    ]}));
    let connected = standin.connect();
    connected.client.registry().unwrap();
    let slept = connected.clock.slept();
    assert_eq!(slept[0], 7.0);
    assert!((2.0..=2.5).contains(&slept[1]), "{slept:?}");
}

#[test]
fn a_lasting_failure_ends_at_once_with_one_clear_message() {
    let standin = Standin::start(json!({"unauthorized_deployments": ["prod"]}));
    for (action, says, hint) in [
        (json!({"status": 400}), "answered 400 Bad Request", ""),
        (json!({"errors": [{"message": "Unauthorized"}]}), "errors: Unauthorized", "DAGSTER_CLOUD_API_TOKEN"),
        (json!({"status": 404}), "does not exist", "DAGSTER_CLOUD_URL"),
        (json!({"status": 403}), "refused the token (403 Forbidden)", "DAGSTER_CLOUD_API_TOKEN"),
        (json!({"errors": [{"message": "one"}, {"message": "two"}]}), "errors: one; two", ""),
        (json!({"data": {"serverless": null}}), "the answer lacks `serverless`", ""),
    ] {
        standin.control("faults", &json!([fault("serverless", action.clone())]));
        let connected = standin.connect();
        let error = connected.client.registry().unwrap_err();
        assert!(error.to_string().contains(says), "{action}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{action}: {:?}", error.hint());
        assert_eq!((error.fault(), connected.clock.slept().len()), (Fault::Remote, 0), "{action}");
    }
}

#[test]
fn a_transient_failure_that_stays_ends_with_one_clear_message() {
    let standin = Standin::start(json!({}));
    let page = "DAGSTER_CLOUD_URL";
    for (action, says, hint) in [
        (json!({"html": true}), "is not the API's: `<!DOCTYPE html>", page),
        (json!({"status": 200, "body": "{}"}), "is not the API's", page),
        (json!({"status": 302, "headers": {"Location": "/login"}}), "is not the API's", page),
        (json!({"redirect": 307}), "is not the API's", page),
        (
            json!({"status": 500, "body": "oops"}),
            "answered 500 Internal Server Error after 4 attempts",
            "again",
        ),
        (json!({"status": 500, "errors": [{"message": "no"}]}), "answered with errors: no", ""),
        (json!({"beside": {"errors": [{"message": "half"}]}}), "answered with errors: half", ""),
    ] {
        let mut rule = fault("serverless", action.clone());
        rule["times"] = json!(0);
        standin.control("faults", &json!([rule]));
        let connected = standin.connect();
        let error = connected.client.registry().unwrap_err();
        assert!(error.to_string().contains(says), "{action}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{action}: {:?}", error.hint());
        assert_eq!(connected.clock.slept().len(), 3, "{action}");
        // Only the API gets the token, with redirects or without.
        standin.journal().assert_clean();
    }
}

#[test]
fn unusual_refusals_are_understood_at_once() {
    let standin = Standin::start(json!({}));
    for action in [
        json!({"early": 103}),
        json!({"early": 100}),
        json!({"drip": {"pieces": 5}}),
        json!({"status": 503, "data": {"serverless": {"registryIsHarbor": false}}}),
        json!({"beside": {"extensions": {"tracing": 1}, "errors": null}}),
    ] {
        standin.control("faults", &json!([fault("serverless", action.clone())]));
        let connected = standin.connect();
        connected.client.registry().unwrap_or_else(|error| panic!("{action}: {error}"));
        assert_eq!(connected.clock.slept(), [] as [f64; 0], "{action}");
    }
}

/// Seen in a test: the second of two equal replies was read as the answer to the next request.
#[test]
fn a_reply_that_comes_twice_does_not_answer_the_next_question() {
    let standin = Standin::start(json!({}));
    let twice = |field| standin.control("faults", &json!([fault(field, json!({"duplicate": true}))]));
    for _ in 0..10 {
        let client = standin.connect().client.at("prod");
        twice("serverless");
        client.registry().unwrap();
        assert!(client.agents().unwrap()[0].is_running());
        let client = standin.connect().client.at("prod");
        twice("addOrUpdateLocationFromDocument");
        client.update_location(&document("one")).unwrap();
        // An answer to the other request is at least not read as the answer to this one.
        let updated = client.update_location(&document("two"));
        assert!(updated.is_ok() || updated.unwrap_err().is_uncertain());
        let client = standin.connect().client.at("prod");
        twice("generateServerlessPexUrl");
        client.presigned_url("source-1.pex", Method::Put).unwrap();
        if let Ok(url) = client.presigned_url("source-2.pex", Method::Put) {
            assert!(format!("{url:?}").contains("source-2.pex"), "{url:?}");
        }
    }
}

/// Users would have seen a step that hangs until its job ends.
#[test]
fn an_answer_that_only_trickles_is_given_up() {
    let endless = json!({"drip": {"pieces": 0, "pause_seconds": 0.01}});
    let standin = Standin::start(json!({"faults": [fault("serverless", endless)]}));
    let timeouts = Timeouts { connect: Duration::from_secs(30), silence: Duration::from_secs(1) };
    standin.connect_with(timeouts, TOKEN).client.registry().unwrap();
    assert!(standin.journal().count("serverless") > 1);
}

/// Users saw `was not updated` for a code location that was updated: the first answer was lost, the second was a
/// refusal.
#[test]
fn a_refusal_after_a_lost_answer_does_not_mean_that_nothing_was_done() {
    let field = "addOrUpdateLocationFromDocument";
    let mut refusal = fault(field, json!({"status": 403}));
    refusal["call"] = json!(2);
    let lost = fault(field, json!({"reset": true, "apply": true}));
    let standin = Standin::start(json!({"faults": [lost, refusal]}));
    let error = standin.connect().client.update_location(&document("one")).unwrap_err();
    assert!(error.is_uncertain(), "{error}");
    insta::assert_snapshot!(error.to_string(), @"could not update the code location: Dagster+ refused the token (403 Forbidden); an earlier try may have taken effect");
    standin.control("faults", &json!([fault(field, json!({"status": 403}))]));
    assert!(!standin.connect().client.update_location(&document("one")).unwrap_err().is_uncertain());
}

#[test]
fn a_maintenance_window_is_checked_before_it_ends() {
    let window = json!({"timeout": 1e9, "retry_interval": 1e9});
    let standin = Standin::start(json!({"faults": [{"operation": "serverless", "maintenance": window}]}));
    let connected = standin.connect();
    connected.client.registry().unwrap();
    assert_eq!(connected.clock.slept(), [300.0]);
}

#[test]
fn a_bad_token_a_missing_deployment_and_a_missing_permission_are_distinguished() {
    let standin = Standin::start(json!({"unauthorized_deployments": ["prod"]}));
    let stranger = standin.connect_with(Timeouts::default(), "user:wrong");
    let error = stranger.client.registry().unwrap_err();
    assert!(matches!(error, DagsterError::Unauthorized { status: 401, .. }), "{error}");
    assert!(!format!("{error}{error:?}").contains("wrong"));
    let error = standin.connect().client.at("nowhere").workspace().unwrap_err();
    assert!(matches!(&error, DagsterError::NotFound { url, .. } if url.ends_with("/nowhere")), "{error}");
    let error = standin.connect().client.at("prod").update_location(&document("one")).unwrap_err();
    assert!(error.to_string().contains("UnauthorizedError"), "{error}");
}

#[test]
fn a_silent_server_is_asked_again() {
    let standin = Standin::start(json!({"faults": [{"operation": "serverless", "delay_seconds": 3}]}));
    let timeouts = Timeouts { connect: Duration::from_secs(5), silence: Duration::from_millis(500) };
    standin.connect_with(timeouts, TOKEN).client.registry().unwrap();
    assert_eq!(standin.journal().count("serverless"), 2);
}

#[test]
fn a_maintenance_window_is_waited_for_and_costs_no_retry() {
    let window = json!({"message": "back soon", "timeout": 100, "retry_interval": 20});
    let standin = Standin::start(json!({"faults": [
        {"operation": "serverless", "times": 4, "status": 503, "maintenance": window},
        {"operation": "serverless", "call": 5, "times": 3, "status": 503},
    ]}));
    let connected = standin.connect();
    connected.client.registry().unwrap();
    assert_eq!(connected.clock.slept()[..4], [20.0; 4]);
    insta::assert_snapshot!(connected.heard.text(), @r#"
    Dagster+ is under maintenance, trying again in 20 s: back soon
    Dagster+ is under maintenance, trying again in 20 s: back soon
    Dagster+ is under maintenance, trying again in 20 s: back soon
    Dagster+ is under maintenance, trying again in 20 s: back soon
    "#);
    assert_eq!(standin.journal().count("serverless"), 8);
    standin.control("faults", &json!([{"operation": "serverless", "times": 0, "maintenance": window}]));
    let error = standin.connect().client.registry().unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"could not ask for the registry: Dagster+ is still under maintenance after 100 s: back soon");
}

#[test]
fn load_stamps_are_queried_only_if_the_schema_has_them() {
    let standin = Standin::start(json!({
        "deployments": [{"name": "prod", "locations": [document("one")]}],
        "faults": [{"operation": "workspaceOrError", "status": 400,
                    "errors": [{"message": "Cannot query field 'updatedTimestamp'"}]}],
    }));
    let states = standin.connect().client.workspace().unwrap();
    assert_eq!((states[0].name.as_str(), states[0].loaded, &states[0].stamp), ("one", true, &None));
    let states = standin.connect().client.workspace().unwrap();
    assert!(states[0].stamp.is_some());
}
