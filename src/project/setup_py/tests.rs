use super::*;

fn read(text: &str) -> Option<SetupPy> {
    SetupPy::parse(text)
}

#[test]
fn scripts_with_literals_are_read() {
    let scaffold = r#"# A comment
"""A docstring"""
from setuptools import find_packages, setup

setup(
    name="shop",
    packages=find_packages(exclude=["shop_tests"]),
    install_requires=[
        "dagster",  # the framework
        'dagster-cloud' '>=1.13',
        "six; sys_platform == 'linux'",
    ],
    extras_require={"dev": ["pytest"], "all": ("a", "b",)},
    python_requires=">=3.10",
)
"#;
    insta::assert_snapshot!(read(scaffold).unwrap().metadata().unwrap(), @r"
    Metadata-Version: 2.1
    Name: shop
    Requires-Python: >=3.10
    Requires-Dist: dagster
    Requires-Dist: dagster-cloud>=1.13
    Requires-Dist: six ; sys_platform == 'linux'
    Provides-Extra: dev
    Requires-Dist: pytest ; extra == 'dev'
    Provides-Extra: all
    Requires-Dist: a ; extra == 'all'
    Requires-Dist: b ; extra == 'all'
    ");
    for text in [
        "import setuptools\nsetuptools.setup(name='a', packages=setuptools.find_packages('src'), package_dir={'': 'src'})",
        "from setuptools import (\n    setup,\n)\nNAME = 'a'\nsetup(name=NAME)\n",
        "from setuptools import setup\nif __name__ == \"__main__\":\n    setup(\nname='a',\n    )\n\n# end",
        "from setuptools import setup\nsetup(name='a', description=\"\"\"x\\\"\"\"\", long_description=r'\\d')",
        "from setuptools import setup\nsetup(name=('a'), version='1', zip_safe=False)",
    ] {
        assert_eq!(
            read(text).and_then(|setup| setup.metadata()).as_deref(),
            Some("Metadata-Version: 2.1\nName: a\n"),
            "{text}"
        );
    }
}

#[test]
fn anything_that_could_do_more_is_left_to_python() {
    let import = "from setuptools import setup, find_packages\n";
    for text in [
        "",
        "setup(name='a')",
        "from distutils.core import setup\nsetup(name='a')",
        "from setuptools import setup as s\ns(name='a')",
        "from setuptools import *\nsetup(name='a')",
        "import os\nfrom setuptools import setup\nsetup(name='a')",
        "import setuptools, os\nsetuptools.setup(name='a')",
        "import setuptools\nsetuptools.sandbox.setup(name='a')",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    for text in [
        "setup()\nsetup()",
        "setup(name='a')\nprint()",
        "setup(name='a'); print()",
        " setup(name='a')",
        "if True:\n    setup(name='a')",
        "if __name__ == '__main__':\nsetup(name='a')",
        "if __name__ == '__main__': setup(name='a')",
        "if __name__ == '__main__':\n    x = 1\n    setup(name='a')",
        "setup(name=open('x').read())",
        "setup(name=f'a')",
        "setup(name=b'a')",
        "setup(name='a' + 'b')",
        "setup(name='%s' % 'a')",
        "setup(name='a'.upper())",
        "setup(name='\\x61')",
        "setup(name='\\N{DASH}')",
        "setup(name='a\n')",
        "setup(name=-1)",
        "setup(name=unknown)",
        "setup('a')",
        "setup(**options)",
        "setup(name='a', name='b')",
        "setup(name='a'",
        "setup(name='a'))",
        "setup(name=[x for x in 'a'])",
        "setup(name=(lambda: 1)())",
        "setup(name=setup())",
        "setup(packages=find_packages(*['a']))",
        "setup(packages=find_packages()[0])",
        "setup(packages=[*find_packages()])",
        "find_packages = open\nsetup(name='a')",
        "setuptools = open\nsetup(name='a')",
        "def setup(): pass\nsetup()",
        "setup(name='a', cmdclass={})",
        "setup(name='a', ext_modules=[])",
        "setup(name='a', scripts=['x'])",
        "setup(name='a', data_files=[])",
        "setup(name='a', setup_requires=['six'])",
        "setup(name='a', use_scm_version=True)",
        "setup(name='a', a_keyword_of_tomorrow=True)",
        "setup(name='a')\r\n",
        "setup(name='a' \\\n)",
    ] {
        assert_eq!(read(&format!("{import}{text}")), None, "{text}");
    }
    assert_eq!(read(&format!("# coding: latin-1\n{import}setup(name='a')")), None);
    assert_eq!(read(&format!("{import}setup(name={}'a'{})", "(".repeat(99), ")".repeat(99))), None);
}

#[test]
fn requirements_that_only_setuptools_understands_are_left_to_python() {
    for text in [
        "setup()",
        "setup(name='a b')",
        "setup(name='a', install_requires='six')",
        "setup(name='a', install_requires=['six\\nseven'])",
        "setup(name='a', install_requires=['six # comment'])",
        "setup(name='a', install_requires=['-r x.txt'])",
        "setup(name='a', install_requires=[1])",
        "setup(name='a', python_requires='x')",
        "setup(name='a', extras_require=[])",
        "setup(name='a', extras_require={'dev': ['six; python_version > \"3\"']})",
        "setup(name='a', extras_require={':python_version > \"3\"': ['six']})",
    ] {
        let text = format!("from setuptools import setup\n{text}");
        assert_eq!(read(&text).and_then(|setup| setup.metadata()), None, "{text}");
    }
}

#[test]
fn other_files_may_say_more() {
    let script = "from setuptools import setup\nsetup(name='my-shop', version='1')\n";
    for (name, text, is_read) in [
        ("README.md", "", true),
        ("pyproject.toml", "[tool.dagster]\nmodule_name = 'shop'\n", true),
        ("pyproject.toml", "[build-system]\nrequires = ['setuptools']\n", false),
        ("pyproject.toml", "[project]\nname = 'shop'\n", false),
        ("pyproject.toml", "[tool.setuptools]\nzip-safe = true\n", false),
        ("pyproject.toml", "[", false),
        ("setup.cfg", "[metadata]\nname = my_shop\n\n[flake8]\nmax-line-length = 100\n", true),
        ("setup.cfg", "[metadata]\nname = other\n", false),
        ("setup.cfg", "[metadata]\nversion = file: VERSION\n", false),
        ("setup.cfg", "[metadata]\nname = my_shop\n  more\n", false),
        ("setup.cfg", "[options]\ninstall_requires = six\n", false),
        ("setup.cfg", "[bdist_wheel]\nuniversal = 1\n", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("setup.py"), script).unwrap();
        std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(SetupPy::read(dir.path()).is_some(), is_read, "{name}: {text}");
    }
}
