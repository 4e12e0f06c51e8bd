//! Keys of layers: what the bytes of a layer follow from, known before it is written.

use super::place::VENV;
use super::venv::Venv;
use crate::hex::hex;
use crate::image::{Digest as BlobDigest, Packing};
use sha2::{Digest, Sha256};

/// Raise it whenever the same key would lead to other bytes: another place for a file, another compression library.
const FORMAT: &str = "1";

/// The key of a layer of distributions: of the SHA-256 of their wheels, in any order. `bytecode` says what compiled
/// their modules ([`super::bytecode::Compiler::key`]).
pub fn of_wheels<'a>(
    venv: Venv,
    packing: Packing,
    bytecode: Option<&str>,
    sha256: impl Iterator<Item = &'a str>,
) -> String {
    let mut wheels: Vec<&str> = sha256.collect();
    wheels.sort_unstable();
    let head = ["wheels".to_string(), venv.python.to_string(), bytecode.unwrap_or("none").to_string()];
    of(packing, head.into_iter().chain(wheels.into_iter().map(String::from)))
}

/// The key of an environment without distributions. `python` is the path of the base's Python.
pub fn of_skeleton(venv: Venv, packing: Packing, python: &str) -> String {
    of(packing, ["venv".to_string(), venv.python.to_string(), python.to_string()].into_iter())
}

/// The key of a layer that was written to find its content: of the code location's own files.
pub fn of_content(packing: Packing, diff_id: BlobDigest) -> String {
    of(packing, ["content".to_string(), diff_id.to_string()].into_iter())
}

fn of(packing: Packing, parts: impl Iterator<Item = String>) -> String {
    let packing = match packing {
        Packing::Members => "gzip",
        Packing::Single => "gzip-single",
    };
    let mut hash = Sha256::new();
    hash.update(format!("pexpress layer {FORMAT}\n/{VENV}\n{packing}\n"));
    // Lengths keep parts apart, whatever is in them.
    parts.for_each(|part| hash.update(format!("{} {part}\n", part.len())));
    hex(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_part_is_in_the_key_and_the_order_of_wheels_is_not() {
        let venv = |python: &str| Venv { python: python.parse().unwrap() };
        let of = |python, packing, bytecode, wheels: &[&'static str]| {
            of_wheels(venv(python), packing, bytecode, wheels.iter().copied())
        };
        let plain = of("3.11", Packing::Members, None, &["a", "b"]);
        assert_eq!(plain, of("3.11", Packing::Members, None, &["b", "a"]));
        let others = [
            plain,
            of("3.12", Packing::Members, None, &["a", "b"]),
            of("3.11", Packing::Single, None, &["a", "b"]),
            of("3.11", Packing::Members, Some("1-3.11.9"), &["a", "b"]),
            of("3.11", Packing::Members, None, &["a"]),
            of("3.11", Packing::Members, None, &["ab"]),
            of("3.11", Packing::Members, None, &["a\nb"]),
            of_skeleton(venv("3.11"), Packing::Members, "/usr/bin/python3.11"),
            of_skeleton(venv("3.11"), Packing::Members, "/usr/local/bin/python3.11"),
            of_content(Packing::Members, BlobDigest::of("a")),
        ];
        assert_eq!(others.iter().collect::<BTreeSet<_>>().len(), others.len());
    }
}
