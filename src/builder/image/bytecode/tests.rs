use super::*;

#[test]
fn only_modules_below_site_packages_are_compiled() {
    for (member, want) in [
        ("six.py", Some("__pycache__/six.cpython-311.pyc")),
        ("a/b.py", Some("a/__pycache__/b.cpython-311.pyc")),
        ("a/b.c.py", Some("a/__pycache__/b.c.cpython-311.pyc")),
        ("a-1.data/purelib/b.py", Some("__pycache__/b.cpython-311.pyc")),
        ("a-1.data/platlib/b/c.py", Some("b/__pycache__/c.cpython-311.pyc")),
        ("a-1.data/scripts/b.py", None),
        ("a-1.data/data/b.py", None),
        ("a/__pycache__/b.py", None),
        ("a/.py", None),
        ("a/b.pyi", None),
    ] {
        let found = below_site_packages(member).and_then(|path| pyc_path(path, "cpython-311"));
        assert_eq!(found.as_deref(), want, "{member}");
    }
}

#[test]
fn the_first_answer_is_checked() {
    for (answer, want) in [
        ("3.11.7 cpython-311 a70d0d0a", true),
        ("3.15.0a1+ cpython-315 00", true),
        ("3.11.7 cpython-311", false),
        ("3.11.7 ../x 00", false),
        ("", false),
    ] {
        assert_eq!(About::parse(answer).is_some(), want, "{answer}");
    }
}
