//! Which packages have a recipe, and what it gives.

use super::*;
use crate::builder::recipe::Recipe;

/// The members of a wheel besides `.dist-info/RECORD`, which is written here.
fn wheel(fixture: &Fixture, members: &[(&str, &str)]) -> std::path::PathBuf {
    use base64::Engine as _;
    use std::io::Write;
    let path = fixture.dir.path().join("shop-1-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let mut record = String::new();
    for (name, text) in members {
        let digest = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text));
        record += &format!("{name},sha256={digest},{}\r\n", text.len());
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.start_file("shop-1.dist-info/RECORD", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(format!("{record}shop-1.dist-info/RECORD,,\r\n").as_bytes()).unwrap();
    archive.finish().unwrap();
    path
}

fn recipe(fixture: &Fixture, members: &[(&str, &str)]) -> Option<Recipe> {
    let wheel = wheel(fixture, members);
    Recipe::of(&wheel, &fixture.read().unwrap(), std::time::SystemTime::now()).unwrap()
}

/// The texts of the files that a recipe gives.
fn given(recipe: &Recipe, fixture: &Fixture) -> Option<Vec<(String, String)>> {
    let out = tempfile::tempdir().unwrap();
    let wheel = recipe.wheel(&fixture.read().unwrap(), out.path()).unwrap()?;
    let archive = crate::wheel::Archive::open(&wheel).unwrap();
    let mut reader = archive.reader().unwrap();
    let mut text = |name: &str, data| String::from_utf8(reader.read(name, data, 1 << 20).unwrap()).unwrap();
    let members = archive.members().iter();
    Some(members.map(|member| (member.name.clone(), text(&member.name, &member.data))).collect())
}

const INIT: (&str, &str) = ("shop/__init__.py", "PRICE = 1\n");
const METADATA: (&str, &str) = ("shop-1.dist-info/METADATA", "M");

#[test]
fn only_copies_of_files_of_the_package_have_a_recipe() {
    let fixture = Fixture::hatchling("");
    for (file, text) in [
        ("src/other/a.py", "A"),
        ("LICENSE", "L"),
        ("LICENSE.py", "L.py"),
        (".git/config", "G"),
        ("one/twice/a.py", "T"),
        ("two/twice/a.py", "T"),
        ("one/apart/a.py", "1"),
        ("two/apart/a.py", "2"),
        ("one/data/a.bin", "T"),
        ("two/data/a.bin", "T"),
    ] {
        fixture.write(file, text);
    }
    let plain = [INIT, METADATA, ("other/a.py", "A")];
    for (more, want) in [
        (("shop-1.dist-info/licenses/LICENSE", "L"), true),
        (("shop-1.dist-info/licenses/LICENSE", "another"), false),
        (("shop-1.dist-info/licenses/LICENSE.py", "L.py"), false),
        (("shop-1.dist-info/unknown.txt", "U"), false),
        (("shop/generated.py", "PRICE = 1\n"), false),
        (("shop/a.py", "A"), false),
        (("git/config", "G"), false),
        // Which of the two is copied would matter after a change of one.
        (("twice/a.py", "T"), false),
        (("apart/a.py", "2"), true),
        (("data/a.bin", "T"), true),
        (("shop-1.data/purelib/other/b.py", "A"), false),
        (("shop-1.data/scripts/tool", "A"), false),
    ] {
        let members: Vec<_> = plain.iter().copied().chain([more]).collect();
        assert_eq!(recipe(&fixture, &members).is_some(), want, "{more:?}");
    }
}

#[test]
fn a_recipe_gives_the_files_as_they_are_now() {
    let fixture = Fixture::hatchling("");
    fixture.write("src/other/a.py", "A");
    let members = |init| [("other/a.py", "A"), METADATA, (INIT.0, init)];
    let made = recipe(&fixture, &members(INIT.1)).unwrap();
    let key = fixture.key();
    fixture.write("shop/__init__.py", "PRICE = 2\n");
    assert_eq!(fixture.key(), key);
    let now = recipe(&fixture, &members("PRICE = 2\n")).unwrap();
    assert_eq!(given(&made, &fixture), given(&now, &fixture));
    let record = &given(&made, &fixture).unwrap()[2];
    assert!(
        record.0 == "shop-1.dist-info/RECORD" && record.1.contains("shop/__init__.py,sha256="),
        "{record:?}"
    );
    // A file that changes after it was read would not agree with RECORD.
    let read = fixture.read().unwrap();
    fixture.write("shop/__init__.py", "PRICE = 3\n");
    let out = tempfile::tempdir().unwrap();
    assert!(made.wheel(&read, out.path()).is_err());
    assert_eq!(out.path().read_dir().unwrap().count(), 0);
    // A recipe of other files is not one of these.
    fs::remove_file(fixture.path("src/other/a.py")).unwrap();
    assert_eq!(given(&made, &fixture), None);
}

#[test]
fn a_wheel_of_other_contents_than_were_read_has_no_recipe() {
    let fixture = Fixture::hatchling("");
    assert!(recipe(&fixture, &[INIT, METADATA]).is_some());
    // It changed during the build.
    assert!(recipe(&fixture, &[("shop/__init__.py", "PRICE = 2\n"), METADATA]).is_none());
}

#[test]
fn a_stored_recipe_is_used_only_whole_young_and_for_its_key() {
    let fixture = Fixture::hatchling("");
    let recipe = recipe(&fixture, &[INIT, METADATA]).unwrap();
    let (key, day) = (fixture.key(), std::time::Duration::from_secs(24 * 60 * 60));
    let text = recipe.text(&key).unwrap();
    let now = std::time::SystemTime::now();
    assert_eq!(Recipe::read(&text, &key, now, day), Ok(recipe));
    for at in 0..text.len() {
        assert!(Recipe::read(&text[..at], &key, now, day).is_err(), "the first {at} bytes");
        let mut damaged = text.clone().into_bytes();
        damaged[at] ^= 1;
        let damaged = String::from_utf8_lossy(&damaged).into_owned();
        assert!(Recipe::read(&damaged, &key, now, day).is_err(), "byte {at}");
    }
    for (key, now, max_age) in [
        ("0", now, day),
        (&*key, now + day + day, day),
        (&*key, now - day, day),
        (&*key, now, std::time::Duration::ZERO),
    ] {
        assert!(Recipe::read(&text, key, now, max_age).is_err(), "{now:?} {max_age:?}");
    }
}

fn setup_py(arguments: &str) -> Fixture {
    let fixture = Fixture::new(SETUP_PY, "setuptools", "");
    fs::remove_file(fixture.path("pyproject.toml")).unwrap();
    let text = format!("from setuptools import find_packages, setup\nsetup(name='shop', {arguments})\n");
    fixture.write("setup.py", &text);
    fixture
}

#[test]
fn a_setup_py_that_can_be_read_has_a_recipe() {
    let plain = setup_py("packages=find_packages()");
    let key = plain.key();
    plain.write("shop/__init__.py", "PRICE = 2\n");
    assert_eq!(plain.key(), key);
    plain.write(
        "setup.py",
        "from setuptools import find_packages, setup\nsetup(name='shop', packages=['shop'])\n",
    );
    assert_ne!(plain.key(), key);
    let with = |file: &str| {
        let fixture = setup_py("packages=find_packages()");
        fixture.write(file, "");
        fixture.read().is_some()
    };
    for (file, is_read) in [
        ("more/__init__.py", true),
        ("shop/json.py", true),
        ("setup.cfg", true),
        ("README.md", true),
        ("MANIFEST.in", false),
        ("json.py", false),
        ("json/__init__.py", false),
        ("wheel/a.txt", false),
        ("shop.egg-info/entry_points.txt", false),
    ] {
        assert_eq!(with(file), is_read, "{file}");
    }
    for (arguments, want) in [
        ("packages=find_packages('src'), package_dir={'': 'src'}", Some(true)),
        ("packages=['shop'], package_dir={'shop': 'lib'}", Some(false)),
        ("packages=find_packages('../lib')", None),
        ("packages=['shop'], package_dir={'': '/lib'}", None),
        ("packages=['shop'], version=open('VERSION').read()", None),
    ] {
        assert_eq!(setup_py(arguments).read().map(|read| read.is_shared), want, "{arguments}");
    }
}
