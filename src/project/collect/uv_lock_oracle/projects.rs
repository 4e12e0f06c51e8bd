//! Projects for the comparison.

/// Projects: a name, and files with their text. `{ROOT}` is the directory of all projects, `{WHEEL}` and `{SDIST}` are
/// addresses of files of `six`.
pub(super) const PROJECTS: &[(&str, &[(&str, &str)])] = &[
    (
        "plain",
        &[(
            "pyproject.toml",
            "dependencies = ['requests', 'docopt', 'github3.py', 'pyyaml==5.3.1', 'zope.interface']",
        )],
    ),
    (
        "extras",
        &[(
            "pyproject.toml",
            "dependencies = ['proj[b]']\n[project.optional-dependencies]\na = ['six']\nb = ['proj[a]', 'rich; sys_platform != \"win32\"']\nall = ['proj[a,b]', 'httpx[http2]']\nnone = []\nold = ['tomli; python_version < \"3.11\"']",
        )],
    ),
    (
        "forks",
        &[(
            "pyproject.toml",
            "dependencies = ['numpy', 'colorama==0.4.5; sys_platform == \"win32\"', 'colorama==0.4.6; sys_platform == \"linux\"', 'idna<3; python_version < \"3.11\"', 'idna>=3; python_version >= \"3.11\"', 'requests']",
        )],
    ),
    (
        "extra_in_some",
        &[(
            "pyproject.toml",
            "dependencies = ['requests[socks]; sys_platform == \"win32\"', 'requests', 'httpx[http2]; python_version < \"3.10\"', 'httpx', 'uvicorn[standard]; platform_machine == \"aarch64\"']\n[project.optional-dependencies]\na = ['requests[socks]; python_version >= \"3.12\"']",
        )],
    ),
    (
        "conflicting_extras",
        &[(
            "pyproject.toml",
            "dependencies = ['requests']\n[project.optional-dependencies]\nold = ['idna==2.10', 'urllib3<2']\nnew = ['idna>=3.4', 'urllib3>=2']\nmore = ['httpx; sys_platform == \"linux\"']\n[tool.uv]\nconflicts = [[{ extra = 'old' }, { extra = 'new' }]]",
        )],
    ),
    (
        "conflicting_groups",
        &[(
            "pyproject.toml",
            "dependencies = ['anyio']\n[project.optional-dependencies]\nx = ['sniffio<1.3']\n[dependency-groups]\nold = ['idna==2.10']\nnew = ['idna>=3.4', 'rich']\n[tool.uv]\nconflicts = [[{ group = 'old' }, { group = 'new' }], [{ extra = 'x' }, { group = 'new' }]]",
        )],
    ),
    (
        "conflicting_members",
        &[
            (
                "pyproject.toml",
                "dependencies = ['one']\n[tool.uv]\nconflicts = [[{ package = 'one', extra = 'a' }, { package = 'two', extra = 'b' }]]\n[tool.uv.workspace]\nmembers = ['one', 'two']\n[tool.uv.sources]\none = { workspace = true }",
            ),
            (
                "one/pyproject.toml",
                "name=one\ndependencies = ['anyio']\n[project.optional-dependencies]\na = ['idna==2.10']",
            ),
            (
                "two/pyproject.toml",
                "name=two\ndependencies = ['one[a]']\n[project.optional-dependencies]\nb = ['idna>=3.4']\n[tool.uv.sources]\none = { workspace = true }",
            ),
        ],
    ),
    (
        "groups",
        &[(
            "pyproject.toml",
            "dependencies = ['six']\n[dependency-groups]\ndev = ['pytest', { include-group = 'lint' }]\nlint = ['ruff', 'toolz; python_version < \"3.10\"']\nempty = []\n[tool.uv]\ndefault-groups = ['lint']",
        )],
    ),
    ("old_groups", &[("pyproject.toml", "dependencies = ['six']\n[tool.uv]\ndev-dependencies = ['pytest']")]),
    (
        "workspace",
        &[
            (
                "pyproject.toml",
                "dependencies = ['lib[x]', 'six']\n[dependency-groups]\ntest = ['pytest']\n[tool.uv.workspace]\nmembers = ['libs/*', 'app']\n[tool.uv.sources]\nlib = { workspace = true }",
            ),
            (
                "libs/lib/pyproject.toml",
                "name=lib\ndependencies = ['idna', 'other; sys_platform == \"linux\"']\n[project.optional-dependencies]\nx = ['toolz']\ny = ['rich']\n[tool.uv.sources]\nother = { workspace = true }\n[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'",
            ),
            (
                "libs/other/pyproject.toml",
                "name=other\ndependencies = ['certifi']\n[dependency-groups]\ntest = ['toolz']",
            ),
            (
                "app/pyproject.toml",
                "name=app\ndependencies = ['lib[x,y]; python_version >= \"3.10\"', 'lib']\n[tool.uv.sources]\nlib = { workspace = true }",
            ),
        ],
    ),
    (
        "virtual_root",
        &[
            (
                "pyproject.toml",
                "virtual\n[tool.uv.workspace]\nmembers = ['one', 'two']\n[dependency-groups]\ndev = ['rich']",
            ),
            (
                "one/pyproject.toml",
                "name=one\ndependencies = ['six']\n[project.optional-dependencies]\na = ['toolz']\n[dependency-groups]\nlint = ['idna']",
            ),
            (
                "two/pyproject.toml",
                "name=two\ndependencies = ['one[a]', 'certifi; sys_platform == \"darwin\"']\n[tool.uv.sources]\none = { workspace = true }\n[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'",
            ),
        ],
    ),
    (
        "environments",
        &[(
            "pyproject.toml",
            "dependencies = ['rich', 'colorama; sys_platform == \"win32\"']\n[tool.uv]\nenvironments = [\"sys_platform == 'linux' and python_version < '3.12'\", \"sys_platform == 'darwin'\"]",
        )],
    ),
    (
        "sources",
        &[
            (
                "pyproject.toml",
                "dependencies = ['fixed', 'moving', 'thing', 'archive', 'nothing', 'repo', 'part', 'flat', 'six', 'extra-of-path[z]']\n[tool.uv.sources]\nfixed = { path = 'fixed' }\nmoving = { path = 'moving', editable = true }\nthing = { path = '../files/thing-1.0-py3-none-any.whl' }\narchive = { path = '../files/archive-1.0.tar.gz' }\nnothing = { path = 'nothing', package = false }\nrepo = { git = 'file://{ROOT}/repo' }\npart = { git = 'file://{ROOT}/repo', tag = 'v1', subdirectory = 'part' }\nflat = { index = 'files' }\nsix = { url = '{WHEEL}' }\nextra-of-path = { path = 'extra' }\n[[tool.uv.index]]\nname = 'files'\nurl = '../files'\nformat = 'flat'\nexplicit = true",
            ),
            (
                "fixed/pyproject.toml",
                "name=fixed\ndependencies = ['idna']\n[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'",
            ),
            (
                "moving/pyproject.toml",
                "name=moving\n[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'",
            ),
            ("nothing/pyproject.toml", "name=nothing\ndependencies = ['toolz']"),
            (
                "extra/pyproject.toml",
                "name=extra-of-path\n[project.optional-dependencies]\nz = ['certifi']\n[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'",
            ),
        ],
    ),
    (
        "url_of_sdist",
        &[(
            "pyproject.toml",
            "dependencies = ['six']\n[tool.uv.sources]\nsix = [{ url = '{SDIST}', marker = \"sys_platform == 'linux'\" }, { url = '{WHEEL}', marker = \"sys_platform != 'linux'\" }]",
        )],
    ),
    (
        "dynamic_version",
        &[
            (
                "pyproject.toml",
                "dynamic\ndependencies = ['six']\n[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n[tool.setuptools]\npy-modules = ['proj']\n[tool.setuptools.dynamic]\nversion = { attr = 'proj.version' }",
            ),
            ("proj.py", "version = '1.2'\n"),
        ],
    ),
    (
        "overrides",
        &[(
            "pyproject.toml",
            "dependencies = ['requests', 'pandas']\n[tool.uv]\noverride-dependencies = ['urllib3<2', 'idna==2.10; python_version < \"3.11\"', 'idna>=3; python_version >= \"3.11\"']\nconstraint-dependencies = ['certifi<2024']",
        )],
    ),
    (
        "dagster",
        &[(
            "pyproject.toml",
            "dependencies = ['dagster', 'dagster-cloud', 'dagster-dbt; python_version < \"3.13\"', 'pandas']\n[dependency-groups]\ndev = ['dagster-webserver', 'pytest']",
        )],
    ),
];

/// Lines that made-up projects ask for.
const LINES: &[&str] = &[
    "requests[socks]",
    "requests; sys_platform == 'win32'",
    "httpx[http2]; python_version < '3.11'",
    "httpx",
    "rich; platform_machine == 'x86_64'",
    "uvicorn[standard]; python_full_version >= '3.11.4'",
    "uvicorn",
    "numpy",
    "pandas; python_version >= '3.10'",
    "coverage[toml]; implementation_name == 'cpython'",
    "anyio>=4; python_version >= '3.10'",
    "cryptography; os_name == 'posix' and platform_python_implementation != 'PyPy'",
    "sqlalchemy[asyncio]; 'linux' in sys_platform",
    "boto3; platform_system == 'Linux'",
    "fsspec[http]; sys_platform == 'darwin' or python_version == '3.11'",
    "fsspec",
    "psycopg[binary]; sys_platform not in 'win32 cygwin'",
];

/// A made-up project: some of [`LINES`], as dependencies, extras and groups.
pub(super) fn random_project(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 40).unwrap_or_default()
    };
    let mut some = |count: usize| {
        let lines: Vec<String> = (0..count).map(|_| format!("{:?}", LINES[next() % LINES.len()])).collect();
        format!("[{}]", lines.join(", "))
    };
    let (main, a, b, lint, test) = (some(5), some(2), some(3), some(2), some(2));
    format!(
        "dependencies = {main}\n[project.optional-dependencies]\na = {a}\nb = {b}\nboth = ['proj[a,b]']\n\
         [dependency-groups]\nlint = {lint}\ntest = {test}\nall = [{{ include-group = 'lint' }}, 'proj[a]']\n"
    )
}

/// The whole text of a pyproject.toml: a line before the dependencies can name the project.
pub(super) fn pyproject(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let project = |name: &str, version: &str| {
        format!("[project]\nname = '{name}'\n{version}\nrequires-python = '>=3.9'\n")
    };
    match (first.strip_prefix("name="), first) {
        (Some(name), _) => project(name, "version = '1.0'") + rest,
        (None, "virtual") => rest.to_string(),
        (None, "dynamic") => project("proj", "dynamic = ['version']") + rest,
        _ => project("proj", "version = '1.0'") + text,
    }
}
