//! Uploads and the deps cache against the stand-in.

use crate::support::standin::{Connected, Standin};
use pexpress::dagster::DagsterError;
use pexpress::dagster::operations::Method;
use pexpress::net::Silent;
use pexpress::publish::deps_cache::{self, CacheEntry, object_name};
use pexpress::publish::desk::{Party, UrlDesk};
use pexpress::publish::lookups::{Lookups, Wanted};
use pexpress::publish::{Artifact, Outcomes, UploadOutcome, Uploads};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// A file that ends like a ZIP archive, with this name and about this size.
fn pex(dir: &Path, name: &str, size: usize) -> Artifact {
    let path = dir.join(name);
    let mut bytes = vec![b'x'; size];
    bytes.extend_from_slice(b"PK\x05\x06");
    bytes.extend_from_slice(&[0; 18]);
    std::fs::write(&path, bytes).unwrap();
    Artifact { name: name.into(), path }
}

fn publish(connected: &Connected, files: &[&Artifact]) -> Outcomes {
    let uploads = Uploads::start(&connected.client.at("prod"), true, Arc::new(Silent));
    files.iter().for_each(|file| uploads.send((*file).clone()));
    uploads.finish()
}

fn one(outcomes: Outcomes) -> Result<UploadOutcome, Arc<DagsterError>> {
    assert_eq!(outcomes.len(), 1);
    outcomes.into_values().next().unwrap()
}

#[test]
fn stored_files_are_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (source, deps) = (pex(dir.path(), "source-a.pex", 10), pex(dir.path(), "deps-b.pex", 300_000));
    let standin = Standin::start(json!({}));
    let connected = standin.connect();
    let first = publish(&connected, &[&source, &deps, &source]);
    assert!(first.values().all(|sent| matches!(sent, Ok(UploadOutcome::Uploaded))), "{first:?}");
    assert_eq!(standin.state()["objects"], json!({"source-a.pex": 32, "deps-b.pex": 300_022}));
    let second = publish(&connected, &[&deps, &source]);
    assert!(second.values().all(|sent| matches!(sent, Ok(UploadOutcome::AlreadyThere))), "{second:?}");
    let journal = standin.journal();
    assert_eq!(journal.count("PUT"), 2);
    journal.assert_clean();
}

#[test]
fn a_truncated_or_different_file_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = pex(dir.path(), "source-a.pex", 10);
    let standin = Standin::start(json!({}));
    for text in ["cut short", "PK\u{5}\u{6} but not of this size"] {
        standin.control("put-object", &json!({"name": "source-a.pex", "text": text}));
        assert!(matches!(one(publish(&standin.connect(), &[&file])), Ok(UploadOutcome::Uploaded)), "{text}");
        assert_eq!(standin.state()["objects"]["source-a.pex"], 32);
    }
}

#[test]
fn uploads_are_retried_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = pex(dir.path(), "deps-b.pex", 3_000_000);
    for action in [
        json!({"status": 408}),
        json!({"status": 409}),
        json!({"status": 429}),
        json!({"status": 500}),
        json!({"status": 502}),
        json!({"status": 503}),
        json!({"status": 504}),
        json!({"reset": true}),
        json!({"reset_upload_after": 1000}),
        json!({"reset": true, "apply": true}),
        json!({"status": 403, "body": "Request has expired"}),
    ] {
        let mut rule = json!({"operation": "PUT"});
        rule.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
        let standin = Standin::start(json!({"faults": [rule]}));
        let sent = one(publish(&standin.connect(), &[&file]));
        assert!(matches!(sent, Ok(UploadOutcome::Uploaded)), "{action}: {sent:?}");
        assert_eq!(standin.state()["objects"]["deps-b.pex"], 3_000_022, "{action}");
        standin.journal().assert_clean();
    }
}

#[test]
fn a_refused_upload_is_a_failure_of_that_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (pex(dir.path(), "source-a.pex", 10), pex(dir.path(), "deps-b.pex", 10));
    for (status, puts, says) in [
        (403, 3, "403 Forbidden"),
        (400, 1, "400 Bad Request"),
        (503, 7, "503 Service Unavailable after 7 attempts"),
    ] {
        let rule = json!({"operation": "PUT", "object": "deps-", "times": 0, "status": status});
        let standin = Standin::start(json!({"faults": [rule]}));
        let outcomes = publish(&standin.connect(), &[&good, &bad]);
        assert!(matches!(outcomes["source-a.pex"], Ok(UploadOutcome::Uploaded)));
        let error = outcomes["deps-b.pex"].as_ref().unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("`deps-b.pex`"), "{error}");
        assert_eq!(standin.journal().count("PUT deps-b.pex"), puts);
    }
}

#[test]
fn expired_urls_and_missing_urls_are_failures() {
    let dir = tempfile::tempdir().unwrap();
    let file = pex(dir.path(), "deps-b.pex", 10);
    let standin = Standin::start(json!({"url_seconds": -1}));
    let error = one(publish(&standin.connect(), &[&file])).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"could not upload `deps-b.pex`: the object store answered 403 Forbidden");
    let rule = json!({"operation": "generateServerlessPexUrl", "times": 0, "data": {"generateServerlessPexUrl": [{"url": ""}]}});
    let standin = Standin::start(json!({"faults": [rule]}));
    let error = one(publish(&standin.connect(), &[&file])).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"could not ask for upload URLs: the answer lacks URLs: 0 for 1 files");
}

#[test]
fn without_upload_files_are_only_checked() {
    let dir = tempfile::tempdir().unwrap();
    let file = pex(dir.path(), "deps-b.pex", 10);
    let standin = Standin::start(json!({}));
    let uploads = Uploads::start(&standin.connect().client, false, Arc::new(Silent));
    uploads.send(file);
    let error = one(uploads.finish()).unwrap_err();
    assert_eq!(error.to_string(), "`deps-b.pex` is not in the registry");
    assert_eq!(standin.journal().count("PUT"), 0);
}

#[test]
fn a_hundred_files_take_few_calls_and_connections() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..100).map(|n| pex(dir.path(), &format!("source-{n}.pex"), 10)).collect();
    let standin = Standin::start(json!({}));
    let outcomes = publish(&standin.connect(), &files.iter().collect::<Vec<_>>());
    assert_eq!(outcomes.values().filter(|sent| matches!(sent, Ok(UploadOutcome::Uploaded))).count(), 100);
    let journal = standin.journal();
    assert!(journal.count("generateServerlessPexUrl") <= 60, "{}", journal.count("generateServerlessPexUrl"));
    // Each worker has one to the API and one to the store; the test has its own.
    let (most, all) = (&journal.0["most_open_connections"], &journal.0["connections"]);
    let bound = 3 * pexpress::publish::WORKERS as u64;
    assert!(most.as_u64() <= Some(bound) && all.as_u64() <= Some(2 * bound), "{most} at once, {all} in all");
}

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

fn entry() -> CacheEntry {
    CacheEntry { deps_pex_name: "deps-0b.pex".into(), dagster_version: "1.13.27".into() }
}

#[test]
fn a_cache_entry_is_found_again_under_its_tag() {
    let dir = tempfile::tempdir().unwrap();
    let standin = Standin::start(json!({}));
    let connected = standin.connect();
    publish(&connected, &[&pex(dir.path(), "deps-0b.pex", 10)])
        .values()
        .for_each(|sent| assert!(sent.is_ok()));
    let client = connected.client.at("prod");
    let (name, text) = (
        object_name(HASH, "acme/proj"),
        "{\"deps_pex_name\": \"deps-0b.pex\", \"dagster_version\": \"1.13.27\"}",
    );
    let url = client.presigned_url(&name, Method::Put).unwrap();
    deps_cache::write(&client, &name, text, url).unwrap();
    standin.journal().assert_clean();
    let read = |tag: &str, hash, likely: &[String]| {
        let tags: Vec<String> = tag.split_whitespace().map(String::from).collect();
        let texts = vec![tags.iter().map(|tag| object_name(hash, tag)).collect()];
        let wanted = Wanted { texts, files: likely.to_vec() };
        let lookups = Lookups::begin(Arc::new(UrlDesk::new(&client)), || wanted);
        deps_cache::read(&lookups, &tags, hash)
    };
    assert_eq!(read("acme/proj", HASH, &[]), Some(entry()));
    assert_eq!((read("acme/other", HASH, &[]), read("acme/proj", "ff", &[])), (None, None));
    // A good guess saves a call, a bad one only costs its own.
    for (likely, calls) in [("deps-0b.pex", 1), ("deps-ff.pex", 2)] {
        standin.control("journal", &Value::Null);
        assert_eq!(read("acme/proj", HASH, &[likely.to_string()]), Some(entry()));
        assert_eq!(standin.journal().count("generateServerlessPexUrl"), calls, "{likely}");
    }
    // Tags are read in their order, the next one only when those before it miss.
    standin.control("put-object", &json!({"name": object_name(HASH, "broken"), "text": "<html>"}));
    for (tags, reads) in [
        ("acme/proj acme/other", 1),
        ("acme/other acme/proj", 2),
        ("broken acme/other acme/proj acme/last", 3),
    ] {
        standin.control("journal", &Value::Null);
        assert_eq!(read(tags, HASH, &[]), Some(entry()), "{tags}");
        assert_eq!(standin.journal().count("GET requirements-"), reads, "{tags}");
    }
}

#[test]
fn a_cache_entry_that_cannot_be_used_is_a_miss_with_a_note() {
    let name = object_name(HASH, "t");
    let good = "{\"deps_pex_name\": \"deps-0b.pex\", \"dagster_version\": \"1.13.27\"}";
    let stored = json!({"name": "deps-0b.pex", "text": "PK\u{5}\u{6}"});
    let status = |status: u16| json!([{"operation": "GET", "times": 0, "status": status}]);
    for (text, pex, faults, says) in [
        ("<html>", &stored, json!([]), "it is not a cache entry"),
        ("{\"deps_pex_name\": \"deps-0b.pex\"}", &stored, json!([]), "it is not a cache entry"),
        (good, &Value::Null, json!([]), "not in the registry any more"),
        (good, &json!({"name": "deps-0b.pex", "text": "cut"}), json!([]), "not a whole PEX file"),
        (good, &stored, status(403), "403 Forbidden"),
        (good, &stored, status(503), "503 Service Unavailable"),
        (
            good,
            &stored,
            json!([{"operation": "generateServerlessPexUrl", "times": 0, "html": true}]),
            "not the API's",
        ),
    ] {
        let standin = Standin::start(json!({}));
        standin.control("put-object", &json!({"name": name, "text": text}));
        if !pex.is_null() {
            standin.control("put-object", pex);
        }
        standin.control("faults", &faults);
        let connected = standin.connect();
        let lookups = Lookups::none(Arc::new(UrlDesk::new(&connected.client)));
        assert!(deps_cache::read(&lookups, &["t".into()], HASH).is_none(), "{says}");
        let heard = connected.heard.text();
        let notes = ["is not used: ", "this run does without it", "cannot be used: "];
        let is_noted = notes.iter().any(|words| heard.contains(words));
        assert!(heard.contains(says) && is_noted, "{says}: {heard}");
    }
}

/// Users saw `loaded` for files that were never stored: a proxy had answered each upload with a page and status 200.
#[test]
fn a_web_page_instead_of_the_store_is_not_a_success() {
    let dir = tempfile::tempdir().unwrap();
    let file = pex(dir.path(), "deps-b.pex", 10);
    for (times, stored) in [(2, true), (0, false)] {
        let page = |operation| json!({"operation": operation, "html": true, "times": times});
        let standin = Standin::start(json!({"faults": [page("PUT"), page("GET")]}));
        let sent = one(publish(&standin.connect(), &[&file]));
        assert_eq!(sent.is_ok(), stored, "{sent:?}");
        assert_eq!(standin.state()["objects"].as_object().unwrap().contains_key("deps-b.pex"), stored);
    }
}

/// Users got a deploy with a PEX file truncated by a proxy that answered 200.
#[test]
fn a_file_that_arrived_cut_short_is_sent_again_and_never_called_stored() {
    let dir = tempfile::tempdir().unwrap();
    let file = pex(dir.path(), "source-a.pex", 10);
    let cut = |times: u64| json!({"operation": "PUT", "times": times, "store_bytes": 5});
    let standin = Standin::start(json!({"faults": [cut(1)]}));
    assert!(matches!(one(publish(&standin.connect(), &[&file])), Ok(UploadOutcome::Uploaded)));
    assert_eq!(
        (standin.journal().count("PUT"), &standin.state()["objects"]["source-a.pex"]),
        (2, &json!(32))
    );
    assert_eq!(
        standin.journal().count("generateServerlessPexUrl"),
        2,
        "the first URL to look by serves again"
    );
    let standin = Standin::start(json!({"faults": [cut(2)]}));
    let error = one(publish(&standin.connect(), &[&file])).unwrap_err();
    assert!(matches!(&*error, DagsterError::Damaged { .. }), "{error}");
    // An expired URL for the check is replaced.
    let expired = json!({"operation": "GET", "call": 2, "status": 403});
    let standin = Standin::start(json!({"faults": [expired, cut(1)]}));
    assert!(matches!(one(publish(&standin.connect(), &[&file])), Ok(UploadOutcome::Uploaded)));
    assert_eq!(standin.journal().count("PUT"), 2);
    // A store whose reply does not tell what it has is looked at after each upload.
    for (tags, looks) in [("md5", 1), ("opaque", 2)] {
        let standin = Standin::start(json!({"entity_tags": tags}));
        assert!(matches!(one(publish(&standin.connect(), &[&file])), Ok(UploadOutcome::Uploaded)));
        assert_eq!(standin.journal().count("GET"), looks, "{tags}");
    }
}

/// Names of objects that are read, and written, and the calls that this takes.
fn ask_side_by_side(standin: &Standin, asks: &[(Party, &[&str], &[&str])]) -> usize {
    standin.control("journal", &Value::Null);
    let desk = UrlDesk::new(&standin.connect().client.at("prod"));
    asks.iter().for_each(|(party, ..)| desk.expect(*party));
    std::thread::scope(|scope| {
        for (party, get, put) in asks {
            let desk = &desk;
            scope.spawn(move || {
                let (reads, writes) = desk.ask(*party, get, put).unwrap();
                assert_eq!((reads.len(), writes.len()), (get.len(), put.len()));
                for (name, url) in get.iter().zip(reads).chain(put.iter().zip(writes)) {
                    assert!(format!("{url:?}").contains(&format!("/{name}")), "{name}: {url:?}");
                }
            });
        }
    });
    standin.journal().assert_clean();
    standin.journal().count("generateServerlessPexUrl")
}

#[test]
fn urls_for_all_who_are_about_to_ask_take_one_call() {
    let standin = Standin::start(json!({}));
    let ahead = (Party::Ahead, &["resolution-a.txt", "deps-a.pex"][..], &[][..]);
    let files = (Party::Files, &["source-b.pex"][..], &["source-b.pex"][..]);
    assert_eq!(ask_side_by_side(&standin, &[ahead, files]), 1);
    assert_eq!(ask_side_by_side(&standin, &[ahead]), 1);
    // A call for both kinds that fails is made for each kind, and for each who asked.
    let refuse = |times: u64| {
        let errors = json!([{"message": "no"}]);
        standin.control(
            "faults",
            &json!([{"operation": "generateServerlessPexUrl", "times": times, "errors": errors}]),
        );
    };
    refuse(1);
    assert_eq!(ask_side_by_side(&standin, &[ahead, files]), 3);
    refuse(2);
    assert!(ask_side_by_side(&standin, &[ahead, files]) > 3);
    // Nobody waits for long for a party that does not come.
    let desk = UrlDesk::new(&standin.connect().client.at("prod"));
    desk.expect(Party::Files);
    assert_eq!(desk.ask(Party::Ahead, &["deps-a.pex"], &[]).unwrap().0.len(), 1);
}
