//! One call at a time against the stand-in: what is retried, what ends a run, and with which message.

use crate::support::standin::{Standin, TOKEN};
use pexpress::dagster::DagsterError;
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
#[ignore = "graphql-core comes from a package index"]
fn what_passes_by_itself_is_tried_again_for_queries_and_mutations() {
    let standin = Standin::start(json!({}));
    for action in [
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
#[ignore = "graphql-core comes from a package index"]
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
#[ignore = "graphql-core comes from a package index"]
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
#[ignore = "graphql-core comes from a package index"]
fn what_does_not_pass_ends_at_once_with_one_clear_message() {
    let standin = Standin::start(json!({"unauthorized_deployments": ["prod"]}));
    for (action, says, hint) in [
        (json!({"status": 500, "body": "oops"}), "answered 500 Internal Server Error: `oops`", "again later"),
        (json!({"status": 400}), "answered 400 Bad Request", "again later"),
        (json!({"html": true}), "is not the API's: `<!DOCTYPE html>", "DAGSTER_CLOUD_URL"),
        (json!({"status": 403}), "refused the token (403 Forbidden)", "DAGSTER_CLOUD_API_TOKEN"),
        (json!({"errors": [{"message": "one"}, {"message": "two"}]}), "errors: one; two", ""),
        (json!({"data": {"serverless": null}}), "the answer lacks `serverless`", ""),
        (json!({"status": 200, "body": "{}"}), "is not the API's", "DAGSTER_CLOUD_URL"),
        (json!({"status": 302, "headers": {"Location": "/login"}}), "is not the API's", "DAGSTER_CLOUD_URL"),
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
#[ignore = "graphql-core comes from a package index"]
fn a_bad_token_a_missing_deployment_and_a_missing_right_are_told_apart() {
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
#[ignore = "graphql-core comes from a package index"]
fn a_silent_server_is_asked_again() {
    let standin = Standin::start(json!({"faults": [{"operation": "serverless", "delay_seconds": 3}]}));
    let timeouts = Timeouts { connect: Duration::from_secs(5), silence: Duration::from_millis(500) };
    standin.connect_with(timeouts, TOKEN).client.registry().unwrap();
    assert_eq!(standin.journal().count("serverless"), 2);
}

#[test]
#[ignore = "graphql-core comes from a package index"]
fn a_maintenance_window_is_waited_for_and_costs_no_retry() {
    let window = json!({"message": "back soon", "timeout": 100, "retry_interval": 20});
    let standin = Standin::start(json!({"faults": [
        {"operation": "serverless", "times": 4, "status": 503, "maintenance": window},
        {"operation": "serverless", "call": 5, "times": 3, "status": 503},
    ]}));
    let connected = standin.connect();
    connected.client.registry().unwrap();
    assert_eq!(connected.clock.slept()[..4], [20.0; 4]);
    assert!(connected.heard.text().contains("under maintenance, trying again in 20 s: back soon"));
    assert_eq!(standin.journal().count("serverless"), 8);
    standin.control("faults", &json!([{"operation": "serverless", "times": 0, "maintenance": window}]));
    let error = standin.connect().client.registry().unwrap_err();
    assert!(error.to_string().contains("still under maintenance after 100 s"), "{error}");
}

#[test]
#[ignore = "graphql-core comes from a package index"]
fn load_stamps_are_asked_for_only_where_the_schema_has_them() {
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
