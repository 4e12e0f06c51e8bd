//! Tests of `address.rs`.

use super::*;
use crate::context::tests::host;

const URL: &str = "DAGSTER_CLOUD_URL";
const ORGANIZATION: &str = "DAGSTER_CLOUD_ORGANIZATION";

fn read(env: &[(&str, &str)], args: &DagsterArgs) -> Result<(String, Option<String>), String> {
    Endpoint::read(args, &host(env))
        .map(|endpoint| (endpoint.organization_url, endpoint.deployment))
        .map_err(|error| error.to_string())
}

/// Users with a workflow written by `dg` could not deploy: the organization in the path was read as a deployment.
#[test]
fn each_form_of_an_address_leads_to_the_organization_and_its_deployment() {
    for (url, base, deployment) in [
        ("https://acme.dagster.cloud", "https://acme.dagster.cloud", None),
        ("https://acme.dagster.cloud/", "https://acme.dagster.cloud", None),
        ("https://acme.dagster.cloud/prod", "https://acme.dagster.cloud", Some("prod")),
        ("https://acme.dagster.cloud/prod/", "https://acme.dagster.cloud", Some("prod")),
        (" acme.dagster.cloud/prod/locations?x=1 ", "https://acme.dagster.cloud", Some("prod")),
        ("https://acme.dagster.cloud/graphql", "https://acme.dagster.cloud", None),
        ("http://acme.dagster.cloud", "https://acme.dagster.cloud", None),
        ("HTTP://ACME.dagster.cloud/prod", "https://acme.dagster.cloud", Some("prod")),
        ("https://acme.dagster.cloud.", "https://acme.dagster.cloud", None),
        ("https://acme.eu.dagster.cloud", "https://acme.eu.dagster.cloud", None),
        ("acme.eu.dagster.cloud/prod", "https://acme.eu.dagster.cloud", Some("prod")),
        ("https://acme.dagster.plus", "https://acme.dagster.plus", None),
        ("https://acme.eu.dagster.plus/prod", "https://acme.eu.dagster.plus", Some("prod")),
        ("https://dagster.cloud/acme", "https://acme.dagster.cloud", None),
        ("http://dagster.cloud/acme", "https://acme.dagster.cloud", None),
        ("dagster.cloud/acme/", "https://acme.dagster.cloud", None),
        ("https://dagster.cloud/acme/prod", "https://acme.dagster.cloud", Some("prod")),
        ("https://dagster.cloud/acme/prod/locations", "https://acme.dagster.cloud", Some("prod")),
        ("https://www.dagster.cloud/acme", "https://acme.dagster.cloud", None),
        ("https://eu.dagster.cloud/acme", "https://acme.eu.dagster.cloud", None),
        ("https://eu.dagster.cloud/acme/prod", "https://acme.eu.dagster.cloud", Some("prod")),
        ("https://dagster.plus/acme/prod", "https://acme.dagster.plus", Some("prod")),
        ("acme", "https://acme.dagster.cloud", None),
        ("acme/prod", "https://acme.dagster.cloud", Some("prod")),
        ("http://127.0.0.1:8080/prod", "http://127.0.0.1:8080", Some("prod")),
        ("http://localhost:8080", "http://localhost:8080", None),
        ("https://dagster.example.com/prod", "https://dagster.example.com", Some("prod")),
        ("https://notdagster.cloud/prod", "https://notdagster.cloud", Some("prod")),
    ] {
        let got = read(&[(URL, url)], &DagsterArgs::default());
        assert_eq!(got, Ok((base.to_string(), deployment.map(String::from))), "{url}");
    }
}

#[test]
fn an_organization_may_be_named_next_to_the_address_or_alone() {
    for (env, base, deployment) in [
        (
            &[(URL, "https://eu.dagster.cloud"), (ORGANIZATION, "acme")][..],
            "https://acme.eu.dagster.cloud",
            None,
        ),
        (&[(URL, "https://dagster.cloud"), (ORGANIZATION, "acme.eu")], "https://acme.eu.dagster.cloud", None),
        (&[(URL, "https://dagster.cloud/acme"), (ORGANIZATION, "acme")], "https://acme.dagster.cloud", None),
        (&[(URL, "https://acme.dagster.cloud"), (ORGANIZATION, "Acme")], "https://acme.dagster.cloud", None),
        (
            &[(URL, "https://acme.eu.dagster.cloud"), (ORGANIZATION, "acme")],
            "https://acme.eu.dagster.cloud",
            None,
        ),
        (&[(ORGANIZATION, "acme")], "https://acme.dagster.cloud", None),
        (&[(ORGANIZATION, " acme.dagster.cloud ")], "https://acme.dagster.cloud", None),
        (
            &[(ORGANIZATION, "https://acme.eu.dagster.cloud/prod")],
            "https://acme.eu.dagster.cloud",
            Some("prod"),
        ),
        (&[(ORGANIZATION, "acme"), ("DAGSTER_CLOUD_ENV", "eu")], "https://acme.eu.dagster.cloud", None),
        (&[(URL, "acme"), ("DAGSTER_CLOUD_ENV", "eu")], "https://acme.eu.dagster.cloud", None),
        (
            &[(URL, "https://st.dagster.cloud/acme"), ("DAGSTER_CLOUD_ENV", "st")],
            "https://acme.st.dagster.cloud",
            None,
        ),
        (&[(URL, "http://127.0.0.1:80"), (ORGANIZATION, "acme")], "http://127.0.0.1", None),
    ] {
        let got = read(env, &DagsterArgs::default());
        assert_eq!(got, Ok((base.to_string(), deployment.map(String::from))), "{env:?}");
    }
}

#[test]
fn an_address_that_would_leak_or_mislead_is_refused() {
    for url in [
        "ftp://acme.dagster.cloud",
        "https://u:p@acme.dagster.cloud",
        "https://acme.dagster.cloud/a/b",
        "https://dagster.cloud/acme/a/b",
        "https://acme.dagster.cloud/pr%20od",
        "https://",
        "https://acme",
        "http://dagster.example.com",
        "http://127.0.0.1.evil.example",
        "https://eu.dagster.cloud/login",
    ] {
        let got = read(&[(URL, url)], &DagsterArgs::default());
        assert!(got.as_ref().is_err_and(|text| text.contains(URL)), "{url}: {got:?}");
    }
}

#[test]
fn an_error_names_the_settings_as_the_user_does() {
    let flags = DagsterArgs { organization: Some("beta".into()), ..DagsterArgs::default() };
    let inputs = DagsterArgs { by_inputs: true, ..flags.clone() };
    let none = DagsterArgs::default();
    let both = [(URL, "https://dagster.cloud/acme"), (ORGANIZATION, "beta")];
    let errors = [
        read(&both, &none),
        read(&both[..1], &flags),
        read(&[(ORGANIZATION, "acme")], &inputs),
        read(&[(URL, "https://eu.dagster.cloud")], &none),
        read(&[(URL, "http://dagster.example.com")], &none),
        read(&[(URL, "https://acme")], &none),
        read(&[(ORGANIZATION, "a b")], &none),
        read(&[], &none),
        read(&[], &DagsterArgs { by_inputs: true, ..none.clone() }),
    ];
    insta::assert_snapshot!(errors.map(Result::unwrap_err).join("\n"), @r#"
    DAGSTER_CLOUD_URL names the organization `acme`, and DAGSTER_CLOUD_ORGANIZATION `beta`
    DAGSTER_CLOUD_URL names the organization `acme`, and --organization `beta`
    the input `organization` names the organization `beta`, and DAGSTER_CLOUD_ORGANIZATION `acme`
    DAGSTER_CLOUD_URL names no organization: `eu.dagster.cloud` is shared by all organizations
    DAGSTER_CLOUD_URL is not the address of a Dagster+ organization or deployment: http:// would send the token unencrypted; use https://
    DAGSTER_CLOUD_URL is not the address of a Dagster+ organization or deployment: `acme` is not a complete host name; did you mean https://acme.dagster.cloud?
    DAGSTER_CLOUD_ORGANIZATION is not the address of a Dagster+ organization or deployment: the name of an organization is the first part of its address, such as `acme`
    no address of Dagster+: neither DAGSTER_CLOUD_URL nor DAGSTER_CLOUD_ORGANIZATION is set
    no address of Dagster+: neither the inputs `organization` and `dagster_cloud_url` nor the variables DAGSTER_CLOUD_ORGANIZATION and DAGSTER_CLOUD_URL are set
    "#);
}

/// `htp//acme` was read as the organization `htp`, and requested four times.
#[test]
fn a_mistyped_address_is_refused_with_a_suggestion() {
    let why = |url: &str| {
        let error = read(&[(URL, url)], &DagsterArgs::default()).unwrap_err();
        error.split_once("deployment: ").map_or(error.clone(), |(_, why)| why.to_string())
    };
    let urls = [
        "htps:/acme.dagster.cloud",
        "htp//acme.dagster.cloud/prod",
        "https//acme.dagster.cloud",
        "https:acme.dagster.cloud",
        "https:/acme.dagster.cloud",
        "htps://acme.dagster.cloud",
        "ftp://acme.dagster.cloud",
        "https://acme dagster.cloud",
        "https://acme.dagster.cloud/ prod",
    ];
    insta::assert_snapshot!(urls.map(why).join("\n"), @r"
    `htps` is not a known URL scheme; did you mean `https://acme.dagster.cloud`?
    `htp` is not a known URL scheme; did you mean `https://acme.dagster.cloud/prod`?
    `https//` is not the start of an address; did you mean `https://acme.dagster.cloud`?
    `https:` is not the start of an address; did you mean `https://acme.dagster.cloud`?
    `https:/` is not the start of an address; did you mean `https://acme.dagster.cloud`?
    `htps` is not a known URL scheme; did you mean `https://acme.dagster.cloud`?
    the token must be sent over https; did you mean `https://acme.dagster.cloud`?
    there is a space in it; did you mean `https://acme.dagster.cloud`?
    there is a space in it; did you mean `https://acme.dagster.cloud/prod`?
    ");
}

#[test]
fn plain_http_to_the_vendor_is_noted() {
    let note = |url| Endpoint::read(&DagsterArgs::default(), &host(&[(URL, url)])).unwrap().note;
    insta::assert_snapshot!(note("http://acme.dagster.cloud").unwrap(), @"DAGSTER_CLOUD_URL begins with http://; using https://acme.dagster.cloud, because the token must be sent encrypted");
    assert_eq!((note("https://acme.dagster.cloud"), note("http://localhost")), (None, None));
}

#[test]
fn flags_win_over_variables() {
    let env = [(URL, "https://a.dagster.cloud/one"), ("DAGSTER_CLOUD_DEPLOYMENT", "two")];
    let none = DagsterArgs::default();
    assert_eq!(read(&env, &none).unwrap().1.as_deref(), Some("one"));
    let flag = DagsterArgs { deployment: Some("three".into()), ..DagsterArgs::default() };
    assert_eq!(read(&env, &flag).unwrap().1.as_deref(), Some("three"));
    let url = DagsterArgs { url: Some("https://b.dagster.cloud".into()), ..DagsterArgs::default() };
    assert_eq!(read(&env, &url).unwrap(), ("https://b.dagster.cloud".to_string(), Some("two".to_string())));
}

#[test]
fn the_variable_of_dagsters_action_counts_only_alone() {
    let inputs = DagsterArgs { by_inputs: true, ..DagsterArgs::default() };
    let older = ("ORGANIZATION_ID", "acme");
    assert_eq!(read(&[older], &inputs).unwrap().0, "https://acme.dagster.cloud");
    assert_eq!(
        read(&[older, (URL, "https://b.dagster.cloud")], &inputs).unwrap().0,
        "https://b.dagster.cloud"
    );
    assert!(read(&[older], &DagsterArgs::default()).is_err());
}
