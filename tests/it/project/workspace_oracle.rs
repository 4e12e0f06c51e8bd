//! Our reading of `dagster_cloud.yaml` compared with `dagster-cloud ci check` (what is accepted) and `ci template` (the
//! merged documents). Documents that both accept are equal; each intended difference is listed with its reason.

use crate::support::hosts::host_with;
use crate::support::project_tree;
use crate::support::reference::ask;
use pexpress::project::Project;
use serde_json::{Value, json};

const READER: [&str; 1] = ["dagster-cloud-cli==1.13.27"];

fn reference_answers(texts: &[String]) -> Vec<Value> {
    ask(&READER, "read_workspace.py", &json!(texts))
}

/// The documents, or the errors.
fn our_answer(text: &str) -> Result<Value, Vec<String>> {
    let tree = project_tree(&[("dagster_cloud.yaml", text), ("sub/x", ""), ("file", "")]);
    let reading = Project::inspect(tree.path(), &host_with(tree.path(), &[]));
    if reading.errors.is_empty() {
        return Ok(reading.locations.into_iter().map(|location| Value::Object(location.document)).collect());
    }
    Err(reading.errors.iter().map(ToString::to_string).collect())
}

/// A location with everything a location needs, and these lines at the depth of its keys.
fn location(lines: &str) -> String {
    let lines = lines.replace('\n', "\n    ");
    format!("locations:\n  - location_name: a\n    code_source: {{package_name: p}}\n    {lines}\n")
}

/// `defaults` and the keys of one location, both as flow mappings.
fn merge(defaults: &str, own: &str) -> String {
    format!("defaults: {defaults}\n{}", location(own))
}

fn k8s(defaults: &str, own: &str) -> String {
    merge(
        &format!("{{container_context: {{k8s: {defaults}}}}}"),
        &format!("container_context: {{k8s: {own}}}"),
    )
}

fn ecs(defaults: &str, own: &str) -> String {
    k8s(defaults, own).replace("k8s", "ecs")
}

/// Accepted by both with equal documents, or refused by both.
fn alike() -> Vec<String> {
    let mut texts = merges();
    texts.extend([
        location(""),
        location("build:"),
        location("build: {}"),
        location("build: {directory: }"),
        location("build: {directory: ''}"),
        location("build: {directory: .}"),
        location("build: {directory: ./sub}"),
        location("build: {directory: sub/../sub/}"),
        location("build: {directory: missing}"),
        location("build: {directory: file}"),
        location("build: {directory: sub, registry: r.x/y}"),
        location("build: {directory: 1}"),
        location("build: {dir: sub}"),
        location("build: []"),
        location("build: sub"),
        location("working_directory: x\nimage: y\nexecutable_path: z\nattribute: w\nagent_queue: q"),
        location("image: 1.10"),
        location("image: yes"),
        location("image: 2024-01-01"),
        location("image: 1:30"),
        location("image: 0o17"),
        location("image: ''"),
        location("image: [x]"),
        location("attribute: ~"),
        location("agent_queue: {a: b}"),
        location("container_context: {}"),
        location("container_context: {k8s: {a: [1, ~, {b: ~}], on: 1, 5: x}}"),
        location("container_context: {k8s: }"),
        location("container_context: {1: x}"),
        location("container_context: {yes: x}"),
        location("container_context: []"),
        location("container_context: text"),
        location("git: {}"),
        location("pex_metadata: {}"),
        location("imge: x"),
        location("Image: x"),
        location("on: x"),
        location("1: x"),
        location("package_name: p"),
        "locations:\n- location_name: a\n".into(),
        "locations:\n- {location_name: a, code_source: }\n".into(),
        "locations:\n- {location_name: a, code_source: {}}\n".into(),
        "locations:\n- {location_name: a, code_source: []}\n".into(),
        "locations:\n- {location_name: a, code_source: p}\n".into(),
        "locations:\n- {location_name: a, code_source: {package_name: }}\n".into(),
        "locations:\n- {location_name: a, code_source: {package_name: ''}}\n".into(),
        "locations:\n- {location_name: a, code_source: {package_name: '', module_name: m}}\n".into(),
        "locations:\n- {location_name: a, code_source: {package_name: ~, python_file: m.py}}\n".into(),
        "locations:\n- {location_name: a, code_source: {package_name: p, module_name: m}}\n".into(),
        "locations:\n- {location_name: a, code_source: {autoload_defs_module_name: m}}\n".into(),
        "locations:\n- {location_name: a, code_source: {package_name: 1}}\n".into(),
        "locations:\n- {location_name: a, code_source: {package_name: 0, module_name: m}}\n".into(),
        "locations:\n- {location_name: a, code_source: {package_name: [p]}}\n".into(),
        "locations:\n- {location_name: a, code_source: {package: p}}\n".into(),
        "locations:\n- {location_name: a, code_source: {package_name: p, attribute: x}}\n".into(),
        "locations:\n- {code_source: {package_name: p}}\n".into(),
        "locations:\n- {location_name: , code_source: {package_name: p}}\n".into(),
        "locations:\n- {location_name: 1, code_source: {package_name: p}}\n".into(),
        "locations:\n- {location_name: yes}\n".into(),
        "locations:\n- {location_name: [a]}\n".into(),
        "locations:\n- {location_name: a}\n- {location_name: b}\n- {location_name: c}\n".into(),
        "locations:\n- {location_name: a}\n- {location_name: a}\n".into(),
        "locations:\n- {location_name: a}\n- {location_name: A}\n- {location_name: 'a '}\n".into(),
        "locations:\n- a\n".into(),
        "locations:\n-\n".into(),
        "locations:\n".into(),
        "locations: {}\n".into(),
        "locations: {location_name: a}\n".into(),
        "locations: text\n".into(),
        "location:\n- {location_name: a}\n".into(),
        "locations: [{location_name: a}]\nversion: 1\n".into(),
        "x-shared: &s {image: i}\nlocations: [{location_name: a}]\n".into(),
        "- location_name: a\n".into(),
        "text".into(),
        "".into(),
        " \n\n".into(),
        "# only a comment\n".into(),
        "---\n".into(),
        "{}".into(),
        "locations: [{location_name: a}]\n---\nlocations: []\n".into(),
        "locations:\n- &x {location_name: a, image: i}\n- {<<: *x, location_name: b}\n".into(),
        "locations:\n- location_name: a\n  build: &b {directory: sub}\n- location_name: b\n  build: *b\n"
            .into(),
        "locations:\n\t- location_name: a\n".into(),
        "locations:\n  - location_name: a\n   code_source: {package_name: p}\n".into(),
        "\u{feff}locations: [{location_name: a}]\n".into(),
        "locations: [{location_name: \"\u{e9}\u{1f600}\"}]\r\n".into(),
        "{\"locations\": [{\"location_name\": \"a\", \"code_source\": {\"python_file\": \"a.py\"}}]}".into(),
    ]);
    texts
}

/// Documents with `defaults`.
fn merges() -> Vec<String> {
    vec![
        merge("", "image: x"),
        merge("{}", "image: x\nagent_queue: ~"),
        merge("[]", "image: x"),
        merge("text", "image: x"),
        merge("{image: }", "agent_queue: ~"),
        merge("{image: a, agent_queue: q, executable_path: e, working_directory: w}", "image: b"),
        merge("{image: a}", "image: ~"),
        merge("{image: a}", "image: ''"),
        merge("{image: 1}", ""),
        merge("{attribute: a}", ""),
        merge("{code_source: {package_name: p}}", ""),
        merge("{location_name: a}", ""),
        merge("{build: {directory: sub}}", ""),
        merge("{build: {directory: sub, registry: r}}", "build: {registry: s}"),
        merge("{build: {directory: missing}}", "build: {directory: sub}"),
        merge("{build: {directory: sub}}", "build: {directory: ~}"),
        merge("{build: }", "build: {directory: sub}"),
        merge("{build: x}", ""),
        merge("{container_context: {a: 1}}", "container_context: {b: 2}"),
        merge("{container_context: {a: {x: 1, y: ~}}}", "container_context: {a: {y: 2, x: ~}}"),
        merge("{container_context: {a: ~}}", "container_context: {a: {b: 1}}"),
        merge("{container_context: {a: {}}}", "container_context: {a: [1]}"),
        merge("{container_context: {a: [1]}}", "container_context: {a: {}}"),
        merge("{container_context: {a: 1}}", "container_context: {a: [1]}"),
        merge("{container_context: {a: [1]}}", "container_context: {a: 1}"),
        merge("{container_context: {a: {b: 1}}}", "container_context: {a: x}"),
        merge("{container_context: {a: [1, 1, 2]}}", "container_context: {a: [2, 3, 3]}"),
        merge("{container_context: {a: [1, 1]}}", "container_context: {b: [2, 2]}"),
        merge("{container_context: {a: [1, x]}}", "container_context: {a: [yes, 1.0, '1', x]}"),
        merge("{container_context: {a: [0, 2.0]}}", "container_context: {a: [no, 0.0, -0.0, 2]}"),
        merge("{container_context: {a: [{x: 1, y: 2}]}}", "container_context: {a: [{y: 2, x: 1}, {x: 1}]}"),
        merge("{container_context: {a: [[1, 2]]}}", "container_context: {a: [[1, 2], [2, 1], []]}"),
        merge("{container_context: {a: [1, ~]}}", "container_context: {a: [~, 2]}"),
        k8s("{env_vars: [A=1, B, C=3]}", "{env_vars: [B=2, D]}"),
        k8s("{env_vars: [A=1, A=2, B]}", "{env_vars: [B, B=1, B]}"),
        k8s("{env_vars: [A]}", "{env_vars: [A=b=c]}"),
        k8s("{env_vars: []}", "{env_vars: [A]}"),
        k8s("{env_vars: [A]}", "{env_vars: []}"),
        k8s("{env_vars: [1]}", "{env_vars: [A]}"),
        k8s("{env_vars: [A]}", "{env_vars: [{name: A}]}"),
        k8s("{env_vars: [A]}", "{env_vars: A}"),
        k8s("{env_vars: [A, A]}", "{}"),
        k8s("{env_secrets: [a, b]}", "{env_secrets: [b, c]}"),
        k8s("{volumes: [{name: a, x: 1}, {name: b}]}", "{volumes: [{name: c}, {name: a, y: 2}]}"),
        k8s(
            "{volumes: [{name: a}, {name: a, z: 1}, {name: b}]}",
            "{volumes: [{name: c}, {name: d}, {name: c, z: 1}]}",
        ),
        k8s("{volumes: [{x: 1}]}", "{volumes: [{name: a}]}"),
        k8s("{volumes: [{name: a}]}", "{volumes: [{x: 1}]}"),
        k8s("{volumes: [{name: a}]}", "{volumes: [a]}"),
        k8s("{volumes: [{name: 1}]}", "{volumes: [{name: yes}, {name: 1.0}, {name: '1'}]}"),
        k8s("{volumes: [{name: [a]}]}", "{volumes: [{name: b}]}"),
        k8s("{volumes: [{x: 1}]}", "{}"),
        k8s("{volume_mounts: [{name: a, p: 1}]}", "{volume_mounts: [{name: a, p: 2}, {name: b}]}"),
        k8s("{image_pull_secrets: [{name: a}]}", "{image_pull_secrets: [{name: b}, {name: a}]}"),
        k8s(
            "{labels: {a: b}, resources: {limits: {cpu: 1}}}",
            "{labels: {c: d}, resources: {limits: {memory: 2}}}",
        ),
        k8s(
            "{run_k8s_config: {container_config: {args: [a], command: [b], ports: [1]}}}",
            "{run_k8s_config: {container_config: {args: [c], command: [d], ports: [2]}}}",
        ),
        k8s(
            "{server_k8s_config: {container_config: {args: [a], command: [b]}, pod_spec_config: {tolerations: [{key: a}]}}}",
            "{server_k8s_config: {container_config: {args: [], command: [d]}, pod_spec_config: {tolerations: [{key: a, x: 1}]}}}",
        ),
        k8s(
            "{run_k8s_config: {container_config: {args: a}}}",
            "{run_k8s_config: {container_config: {args: [b]}}}",
        ),
        ecs("{env_vars: [A=1], secrets: [{name: a, v: 1}]}", "{env_vars: [A=2], secrets: [{name: a, v: 2}]}"),
        ecs(
            "{run_sidecar_containers: [{name: a, v: 1}]}",
            "{run_sidecar_containers: [{name: a}, {name: b}]}",
        ),
        ecs("{server_sidecar_containers: [{name: a, v: 1}]}", "{server_sidecar_containers: [{name: a}]}"),
        ecs("{volumes: [{name: a, v: 1}]}", "{volumes: [{name: a}]}"),
        ecs("{run_ecs_tags: [{key: a, value: 1}]}", "{run_ecs_tags: [{key: a}, {key: b, value: 2}]}"),
        ecs("{server_ecs_tags: [{key: a, value: 1}]}", "{server_ecs_tags: [{name: a}]}"),
        ecs("{server_ecs_tags: [{key: a, value: 1}]}", "{server_ecs_tags: [{key: a, value: 2}]}"),
        ecs("{mount_points: [{name: a}]}", "{mount_points: [{name: a, x: 1}]}"),
        merge(
            "{container_context: {docker: {env_vars: [A=1], networks: [n]}}}",
            "container_context: {docker: {env_vars: [A], networks: [n, m]}}",
        ),
        merge("{container_context: {k8s.env_vars: [A=1]}}", "container_context: {k8s.env_vars: [A=2]}"),
    ]
}

/// Refused here, accepted there.
fn stricter() -> Vec<(&'static str, String)> {
    vec![
        ("nothing to deploy", "locations: []".into()),
        ("a name that no one sees", "locations: [{location_name: ' '}]".into()),
        ("one of the two is lost", location("image: x\nimage: y")),
        ("the directory that defaults give is used", merge("{build: {directory: missing}}", "")),
    ]
}

/// Accepted here, refused there.
fn laxer() -> Vec<(&'static str, String)> {
    vec![("a value with a `=` in it is a value", k8s("{env_vars: [A=b=c]}", "{env_vars: [B]}"))]
}

#[test]
#[ignore = "needs packages from an index"]
fn documents_are_accepted_and_merged_as_the_reference_does() {
    let texts = alike();
    for (text, theirs) in texts.iter().zip(reference_answers(&texts)) {
        match (our_answer(text), theirs.get("locations")) {
            (Ok(ours), Some(theirs)) => assert_eq!(&ours, theirs, "{text}"),
            (Err(_), None) => {}
            (ours, _) => panic!("{text}\nours: {ours:?}\ntheirs: {theirs}"),
        }
    }
}

#[test]
#[ignore = "needs packages from an index"]
fn differences_from_the_reference_are_wanted() {
    let differences = [(stricter(), false), (laxer(), true)];
    for (table, accepted) in differences {
        let (reasons, texts): (Vec<_>, Vec<_>) = table.into_iter().unzip();
        for ((reason, text), theirs) in reasons.iter().zip(&texts).zip(reference_answers(&texts)) {
            assert_eq!(our_answer(text).is_ok(), accepted, "{reason}: {text}");
            assert_eq!(theirs.get("locations").is_some(), !accepted, "{reason}: {text}\n{theirs}");
        }
    }
}
