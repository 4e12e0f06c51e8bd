//! Whether a local package can be installed as it lies in its directory, as by `pip install --editable`.
//!
//! Then its code is in the image once, and paths relative to it, such as `Path(__file__).parents[1] / "dbt"`, work as on
//! the machine of its author. It can be if all files of its wheel are files of one directory below the package's: the
//! directory that Python has to search. Compiled, generated and renamed files cannot be found there.

use crate::builder::left_out::LeftOut;
use crate::builder::package_files::crc32;
use crate::builder::working_directory::{Shipped, Tree};
use crate::wheel::{Archive, Member};

/// The directory to search, relative to the package's and with `/`: empty for the package's own directory.
///
/// # Errors
/// Why the package cannot be installed in this way, in a sentence.
pub fn import_root(archive: &Archive, tree: &Tree, rules: &LeftOut) -> Result<String, String> {
    let info = archive.members().iter().find_map(|member| {
        let (stem, _) = member.name.split_once(".dist-info/")?;
        (!stem.contains('/')).then(|| (format!("{stem}.dist-info/"), stem))
    });
    let (info, stem) = info.ok_or("its wheel has no metadata")?;
    let data = format!("{stem}.data/");
    let mut code = Vec::new();
    for member in archive.members() {
        match member.name.strip_prefix(&data) {
            // Scripts are installed all the same.
            Some(place) if place.starts_with("scripts/") => {}
            Some(place) => return Err(format!("its wheel has `{place}` for a place outside of its modules")),
            None if member.name.starts_with(&info) => {}
            None => code.push(member),
        }
    }
    let is_left_out =
        |member: &Member| rules.in_package(&member.name, Some((member.data.size_bytes, member.data.crc32)));
    code.retain(|member| !is_left_out(member));
    let Some(first) = code.first() else { return Ok(String::new()) };
    let mut roots: Vec<&str> = tree.files.keys().filter_map(|path| before(path, &first.name)).collect();
    // The shortest first: a copy in a build directory is the less likely one.
    roots.sort_by_key(|root| (root.matches('/').count(), *root));
    let in_tree = |root: &str, member: &Member| {
        let path = if root.is_empty() { member.name.clone() } else { format!("{root}/{}", member.name) };
        tree.files.get(&path)
    };
    let lacks = |root: &&str| -> Option<&Member> {
        let holds = |member: &Member| in_tree(root, member).is_some_and(|file| is_same(file, member));
        code.iter().copied().find(|member| !holds(member))
    };
    let mut lacking = None;
    for root in &roots {
        match lacks(root) {
            None => return Ok((*root).to_string()),
            Some(member) => lacking = lacking.or(Some((*root, member))),
        }
    }
    let member = lacking.map_or(*first, |(_, member)| member);
    let name = member.name.as_str();
    let is_there = |(path, file): (&String, &Shipped)| before(path, name).is_some() && is_same(file, member);
    if tree.files.iter().any(is_there) {
        return Err("its modules are in several directories".to_string());
    }
    let is_compiled = name.ends_with(".so") || name.ends_with(".pyd");
    let is_changed = lacking.is_some_and(|(root, member)| in_tree(root, member).is_some());
    Err(match (is_compiled, is_changed) {
        (true, _) => format!("its build compiles `{name}`"),
        (false, true) => format!("its build changes `{name}`"),
        (false, false) => format!("its build makes, renames or moves `{name}`"),
    })
}

/// The directory of a path that ends with `member`, without `/` at its end.
fn before<'a>(path: &'a str, member: &str) -> Option<&'a str> {
    let start = path.strip_suffix(member)?;
    if start.is_empty() { Some("") } else { start.strip_suffix('/') }
}

fn is_same(file: &Shipped, member: &Member) -> bool {
    let size = file.source.metadata().map(|data| data.len());
    size.is_ok_and(|size| size == member.data.size_bytes) && crc32(&file.source) == Some(member.data.crc32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::working_directory;
    use crate::wheel::fixture::{TestMember, dist_info, file, write_zip};

    /// The root for a package with these files and a wheel with these members besides its dist-info.
    fn root(files: &[(&str, &str)], members: &[(&str, &str)]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join("package").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut all = dist_info("shop-1", "shop", "1", "");
        all.extend(members.iter().map(|(path, text)| file(path, text)).collect::<Vec<TestMember>>());
        let wheel = write_zip(dir.path(), "shop-1-py3-none-any.whl", &all);
        let package = dir.path().join("package");
        let tree = working_directory::list(&package, std::iter::empty()).unwrap();
        import_root(&Archive::open(&wheel).unwrap(), &tree, &LeftOut::read(&package).unwrap())
    }

    fn found(files: &[(&str, &str)], members: &[(&str, &str)]) -> Option<String> {
        root(files, members).ok()
    }

    #[test]
    fn the_root_is_the_directory_that_holds_every_file_of_the_wheel() {
        let code = ("shop/__init__.py", "A = 1\n");
        let flat = [code, ("setup.py", "")];
        assert_eq!(found(&flat, &[code]).as_deref(), Some(""));
        let src = [("src/shop/__init__.py", "A = 1\n"), ("src/shop/b.sql", "select 1")];
        assert_eq!(found(&src, &[code, ("shop/b.sql", "select 1")]).as_deref(), Some("src"));
        let copied = [("build/lib/shop/__init__.py", "A = 1\n"), ("code/shop/__init__.py", "A = 1\n")];
        assert_eq!(found(&copied, &[code]).as_deref(), Some("code"));
        let script = ("shop-1.data/scripts/run", "#!python\n");
        assert_eq!(found(&flat, &[code, script]).as_deref(), Some(""));
        assert_eq!(found(&flat, &[]).as_deref(), Some(""), "a package without modules");
        let ignored = [code, ("shop/notes.txt", "x"), (".pexignore", "notes.txt\n")];
        assert_eq!(found(&ignored, &[code, ("shop/notes.txt", "x")]).as_deref(), Some(""));
    }

    #[test]
    fn what_is_generated_renamed_or_in_several_places_is_not_editable() {
        let code = ("shop/__init__.py", "A = 1\n");
        for (files, members, why) in [
            (
                &[code][..],
                &[code, ("shop/_version.py", "1")][..],
                "its build makes, renames or moves `shop/_version.py`",
            ),
            (
                &[code, ("shop/_version.py", "0")],
                &[code, ("shop/_version.py", "1")],
                "its build changes `shop/_version.py`",
            ),
            (
                &[("lib/__init__.py", "A = 1\n")],
                &[code],
                "its build makes, renames or moves `shop/__init__.py`",
            ),
            (
                &[code, ("src/other/__init__.py", "")],
                &[code, ("other/__init__.py", "")],
                "its modules are in several directories",
            ),
            (
                &[code, ("shop/_fast.c", "")],
                &[code, ("shop/_fast.abi3.so", "")],
                "its build compiles `shop/_fast.abi3.so`",
            ),
            (
                &[code],
                &[code, ("shop-1.data/data/etc/x", "")],
                "its wheel has `data/etc/x` for a place outside of its modules",
            ),
        ] {
            assert_eq!(root(files, members), Err(why.to_string()), "{members:?}");
        }
    }
}
