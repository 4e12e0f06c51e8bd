//! Checks of the tests themselves: a client that sends what Dagster+ would refuse fails.

use crate::support::graphql::problems;
use crate::support::standin::{Standin, TOKEN};
use pexpress::net::{Agent, Request};
use serde_json::{Value, json};
use std::io::sink;
use std::path::Path;
use std::sync::Arc;

/// Errors in this document, these variables and this answer.
fn report(query: &str, variables: Value, answer: Value) -> String {
    let found = problems(&json!({"query": query, "variables": variables, "answer": answer}));
    found.iter().map(|problem| format!("{query} {variables} {answer}\n  {problem}\n")).collect()
}

#[test]
fn a_document_that_breaks_the_schema_is_caught() {
    let found: String = [
        "{ serverless { registryURL } }",
        "{ serverless }",
        "{ agents { status { name } } }",
        "{ deploymentByName { __typename } }",
        "{ deploymentByName(name: 1) { __typename } }",
        "{ workspaceOrError { ... on Agent { id } } }",
        "query($name: Int!) { deploymentByName(name: $name) { __typename } }",
        "query($name: String) { deploymentByName(name: $name) { __typename } }",
        "{ deploymentByName(name: $name) { __typename } }",
        "query($unused: Int) { serverless { registryUrl } }",
        "mutation { generateServerlessPexUrl(filenames: [], method: POST) { url } }",
        "{ serverless { registryUrl }",
        "{ serverless { ...Missing } }",
    ]
    .into_iter()
    .map(|query| {
        let found = problems(&json!({"query": query, "variables": {}}));
        assert!(!found.is_empty(), "{query}");
        format!("{query}\n  {}\n", found.join("\n  "))
    })
    .collect();
    insta::assert_snapshot!(found, @r#"
    { serverless { registryURL } }
      interface, union and object types must have a subselection set
      type `Serverless` does not have a field `registryURL`
    { serverless }
      interface, union and object types must have a subselection set
    { agents { status { name } } }
      interface, union and object types must have a subselection set
      field selection of enum type `AgentStatus` must not have subselections
    { deploymentByName { __typename } }
      the required argument `Query.deploymentByName(name:)` is not provided
    { deploymentByName(name: 1) { __typename } }
      expected value of type String!, found an integer
    { workspaceOrError { ... on Agent { id } } }
      inline fragment with type condition `Agent` cannot be applied to `WorkspaceOrError`
    query($name: Int!) { deploymentByName(name: $name) { __typename } }
      variable `$name` of type `Int!` cannot be used for argument `name` of type `String!`
    query($name: String) { deploymentByName(name: $name) { __typename } }
      variable `$name` of type `String` cannot be used for argument `name` of type `String!`
    { deploymentByName(name: $name) { __typename } }
      variable `$name` is not defined
    query($unused: Int) { serverless { registryUrl } }
      unused variable: `$unused`
    mutation { generateServerlessPexUrl(filenames: [], method: POST) { url } }
      value `POST` does not exist on `ServerlessPexMethod`
    { serverless { registryUrl }
      syntax error: expected R_CURLY, got EOF
    { serverless { ...Missing } }
      cannot find fragment `Missing` in this document
    "#);
}

#[test]
fn a_variable_of_another_type_is_caught() {
    let urls = "mutation($filenames: [String!]!) { generateServerlessPexUrl(filenames: $filenames, method: GET) { url } }";
    let branch = "mutation($branchData: CreateOrUpdateBranchDeploymentInput!, $commit: DeploymentCommitInput!) { \
                  createOrUpdateBranchDeployment(branchData: $branchData, commit: $commit) { __typename } }";
    let data = json!({"repoName": "r", "branchName": "b"});
    let commit = json!({"commitHash": "c", "timestamp": 1.5});
    let good = json!({"branchData": data, "commit": commit});
    assert_eq!(problems(&json!({"query": branch, "variables": good})), [] as [String; 0]);
    let found: String = [
        (urls, json!({})),
        (urls, json!({"filenames": null})),
        (urls, json!({"filenames": [null]})),
        (urls, json!({"filenames": [1]})),
        (urls, json!({"filenames": [], "method": "GET"})),
        (urls, json!([])),
        (branch, json!({"branchData": {"repoName": "r"}, "commit": commit})),
        (branch, json!({"branchData": {"repoName": "r", "branchName": "b", "branch": ""}, "commit": commit})),
        (branch, json!({"branchData": data, "commit": {"commitHash": "c", "timestamp": "1.5"}})),
        (
            branch,
            json!({"branchData": {"repoName": "r", "branchName": "b", "pullRequestStatus": "DONE"}, "commit": commit}),
        ),
    ]
    .into_iter()
    .map(|(query, variables)| {
        let found = problems(&json!({"query": query, "variables": variables}));
        assert!(!found.is_empty(), "{variables}");
        format!("{variables}\n  {}\n", found.join("\n  "))
    })
    .collect();
    insta::assert_snapshot!(found, @r#"
    {}
      missing value for non-null variable 'filenames'
    {"filenames":null}
      null value for variable filenames of non-null type [String!]!
    {"filenames":[null]}
      null value for variable filenames of non-null type String!
    {"filenames":[1]}
      could not coerce variable filenames: 1 to type String
    {"filenames":[],"method":"GET"}
      variable `method` is not declared
    []
      variables that are not an object
    {"branchData":{"repoName":"r"},"commit":{"commitHash":"c","timestamp":1.5}}
      Missing value for non-null input object field CreateOrUpdateBranchDeploymentInput.branchName
    {"branchData":{"repoName":"r","branchName":"b","branch":""},"commit":{"commitHash":"c","timestamp":1.5}}
      Input object has key branch not in type CreateOrUpdateBranchDeploymentInput
    {"branchData":{"repoName":"r","branchName":"b"},"commit":{"commitHash":"c","timestamp":"1.5"}}
      could not coerce input field DeploymentCommitInput.timestamp: "1.5" to type Float
    {"branchData":{"repoName":"r","branchName":"b","pullRequestStatus":"DONE"},"commit":{"commitHash":"c","timestamp":1.5}}
      could not coerce input field CreateOrUpdateBranchDeploymentInput.pullRequestStatus: "DONE" to type PullRequestStatus
    "#);
}

/// Otherwise the tests could expect a service that does not exist.
#[test]
fn an_answer_that_breaks_the_schema_is_caught() {
    let agents = "{ agents { id status errors { error { message } } } }";
    let workspace = "{ workspaceOrError { __typename ... on Workspace { locationEntries { name } } ...Error } } \
                     fragment Error on PythonError { message }";
    let good = json!({"agents": [{"id": "1", "status": "RUNNING", "errors": [{"error": null}]}]});
    assert_eq!(report(agents, json!({}), good), "");
    let good = json!({"workspaceOrError": {"__typename": "PythonError", "message": "m"}});
    assert_eq!(report(workspace, json!({}), good), "");
    let found: Vec<String> = [
        (agents, json!({})),
        (agents, json!({"agents": null})),
        (agents, json!({"agents": {}})),
        (agents, json!({"agents": [{"id": 1, "status": "RUN", "errors": [{"error": {}}]}]})),
        (workspace, json!({"workspaceOrError": {"__typename": "Agent"}})),
        (
            workspace,
            json!({"workspaceOrError": {"__typename": "Workspace", "locationEntries": [{"name": null}]}}),
        ),
        (
            workspace,
            json!({"workspaceOrError": {"__typename": "Workspace", "message": "m", "locationEntries": []}}),
        ),
    ]
    .into_iter()
    .map(|(query, answer)| report(query, json!({}), answer))
    .collect();
    assert!(found.iter().all(|report| !report.is_empty()), "{found:?}");
    insta::assert_snapshot!(found.concat(), @r#"
    { agents { id status errors { error { message } } } } {} {}
      answer: data has {}, asked for was ["agents"]
    { agents { id status errors { error { message } } } } {} {}
      answer: data.agents is null, not [Agent!]!
    { agents { id status errors { error { message } } } } {} {"agents":null}
      answer: data.agents is null, not [Agent!]!
    { agents { id status errors { error { message } } } } {} {"agents":{}}
      answer: data.agents is {}, not [Agent!]!
    { agents { id status errors { error { message } } } } {} {"agents":[{"id":1,"status":"RUN","errors":[{"error":{}}]}]}
      answer: data.agents.0.errors.0.error has {}, asked for was ["message"]
    { agents { id status errors { error { message } } } } {} {"agents":[{"id":1,"status":"RUN","errors":[{"error":{}}]}]}
      answer: data.agents.0.errors.0.error.message is null, not String!
    { agents { id status errors { error { message } } } } {} {"agents":[{"id":1,"status":"RUN","errors":[{"error":{}}]}]}
      answer: data.agents.0.id is 1, not String!
    { agents { id status errors { error { message } } } } {} {"agents":[{"id":1,"status":"RUN","errors":[{"error":{}}]}]}
      answer: data.agents.0.status is "RUN", not AgentStatus!
    { workspaceOrError { __typename ... on Workspace { locationEntries { name } } ...Error } } fragment Error on PythonError { message } {} {"workspaceOrError":{"__typename":"Agent"}}
      answer: data.workspaceOrError is {"__typename":"Agent"}, not WorkspaceOrError!
    { workspaceOrError { __typename ... on Workspace { locationEntries { name } } ...Error } } fragment Error on PythonError { message } {} {"workspaceOrError":{"__typename":"Workspace","locationEntries":[{"name":null}]}}
      answer: data.workspaceOrError.locationEntries.0.name is null, not String!
    { workspaceOrError { __typename ... on Workspace { locationEntries { name } } ...Error } } fragment Error on PythonError { message } {} {"workspaceOrError":{"__typename":"Workspace","message":"m","locationEntries":[]}}
      answer: data.workspaceOrError has {"__typename", "locationEntries", "message"}, asked for was ["__typename", "locationEntries"]
    "#);
}

/// No test has to check it: with the stand-in, a wrong request fails the test that sent it.
#[test]
fn a_wrong_request_fails_its_test() {
    let queries =
        ["src/dagster/queries/serverless.graphql", "src/dagster/queries/branch_deployment_name.graphql"];
    let [serverless, name] =
        queries.map(|path| std::fs::read_to_string(crate::support::repository().join(path)).unwrap());
    for (query, variables, wrong) in [
        (serverless.clone(), json!({}), false),
        (serverless.replace("registryUrl", "registryURL"), json!({}), true),
        (name.clone(), json!({"repoName": "r", "branchName": "b"}), false),
        (name, json!({"repoName": "r", "branchName": 1}), true),
    ] {
        let standin = Standin::start(json!({}));
        post(&standin, &json!({"query": query, "variables": variables}));
        assert_eq!(standin.journal().0["violations"] != json!([]), wrong, "{query} {variables}");
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(standin)));
        assert_eq!(ended.is_err(), wrong, "{query} {variables}");
    }
}

fn post(standin: &Standin, body: &Value) {
    let clock = Arc::new(pexpress::host::SystemClock);
    let agent = Agent::new(&pexpress::host::Host::for_test(
        [].into(),
        Path::new("/"),
        Box::new(sink()),
        Box::new(sink()),
        clock,
    ));
    let url = url::Url::parse(&format!("{}/graphql", standin.url)).unwrap();
    let text = body.to_string();
    let mut request = Request::post(&url, text.as_bytes());
    for (name, value) in [
        ("Dagster-Cloud-Api-Token", TOKEN),
        ("Dagster-Cloud-Scope", "deployment"),
        ("Dagster-Cloud-Version", "1.13.27"),
        ("Python-Version", "3.12"),
        ("Content-Type", "application/json"),
    ] {
        request = request.header(name, value);
    }
    agent.send(request).unwrap();
}
