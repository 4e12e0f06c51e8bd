//! Scripts for the console commands of a distribution.

use crate::wheel::EntryPoint;

/// A Python script that runs an entry point. Agents before pex 2.60 copy it into `bin/` and put their own interpreter
/// into its first line. Newer ones write their own scripts.
pub fn script_stub(point: &EntryPoint) -> String {
    let module = &point.module;
    if point.attributes.is_empty() {
        return format!(
            "#!python\nimport runpy\n\nif __name__ == \"__main__\":\n    \
             runpy.run_module(\"{module}\", run_name=\"__main__\", alter_sys=True)\n"
        );
    }
    let attributes: String = point.attributes.iter().map(|attribute| format!("\"{attribute}\", ")).collect();
    format!(
        "#!python\nimport importlib\nimport sys\n\nif __name__ == \"__main__\":\n    \
         target = importlib.import_module(\"{module}\")\n    \
         for attribute in ({}):\n        target = getattr(target, attribute)\n    \
         sys.exit(target())\n",
        attributes.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here changes fingerprints: raise `FORMAT_REVISION` with it.
    #[test]
    fn stubs_call_the_object_or_run_the_module() {
        let mut point =
            EntryPoint { name: "x".into(), module: "a.b".into(), attributes: vec!["C".into(), "d".into()] };
        insta::assert_snapshot!(script_stub(&point), @r#"
    #!python
    import importlib
    import sys

    if __name__ == "__main__":
        target = importlib.import_module("a.b")
        for attribute in ("C", "d",):
            target = getattr(target, attribute)
        sys.exit(target())
    "#);
        point.attributes.clear();
        insta::assert_snapshot!(script_stub(&point), @r#"
    #!python
    import runpy

    if __name__ == "__main__":
        runpy.run_module("a.b", run_name="__main__", alter_sys=True)
    "#);
    }
}
