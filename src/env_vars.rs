//! Every environment variable that this program reads or writes, each as a documented constant.

/// Path of the `uv` executable to use instead of a found or downloaded one.
pub const PEXPRESS_UV: &str = "PEXPRESS_UV";
/// Directory for everything cached (wheels, uv, environments). Default: `XDG_CACHE_HOME/pexpress`, `~/.cache/pexpress`.
pub const PEXPRESS_CACHE_DIR: &str = "PEXPRESS_CACHE_DIR";
/// Release of dagster and its command-line programs for `-m MODULE`. Default: the one that this program was built with.
pub const PEXPRESS_DAGSTER_VERSION: &str = "PEXPRESS_DAGSTER_VERSION";
/// Index of a job in its matrix. The runner has no variable for it, so `action.yml` sets it.
pub const PEXPRESS_JOB_INDEX: &str = "PEXPRESS_JOB_INDEX";
/// Number of jobs in the matrix, also from `action.yml`.
pub const PEXPRESS_JOB_TOTAL: &str = "PEXPRESS_JOB_TOTAL";
/// Id of the job at GitHub, for a link to its log, also from `action.yml`.
pub const PEXPRESS_JOB_ID: &str = "PEXPRESS_JOB_ID";
/// User name at the registry that images are pushed to.
pub const PEXPRESS_REGISTRY_USERNAME: &str = "PEXPRESS_REGISTRY_USERNAME";
/// Its password, or a token. Never sent to another registry, such as the one of the base image.
pub const PEXPRESS_REGISTRY_PASSWORD: &str = "PEXPRESS_REGISTRY_PASSWORD";
/// Set to `true` by GitHub's runner.
pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";
/// Variables of CI systems, each with the name of the system. Every system sets at least one. Source: the systems'
/// manuals, lists of predefined variables.
pub const CI_SYSTEMS: &[(&str, &str)] = &[
    ("GITHUB_ACTIONS", "GitHub Actions"),
    ("GITLAB_CI", "GitLab CI"),
    ("TF_BUILD", "Azure Pipelines"),
    ("SYSTEM_TEAMFOUNDATIONCOLLECTIONURI", "Azure Pipelines"),
    ("JENKINS_URL", "Jenkins"),
    ("JENKINS_HOME", "Jenkins"),
    ("HUDSON_URL", "Jenkins"),
    ("CODEBUILD_BUILD_ID", "AWS CodeBuild"),
    ("TEAMCITY_VERSION", "TeamCity"),
    ("BITBUCKET_BUILD_NUMBER", "Bitbucket Pipelines"),
    ("CIRCLECI", "CircleCI"),
    ("BUILDKITE", "Buildkite"),
    ("TRAVIS", "Travis CI"),
    ("DRONE", "Drone"),
    ("APPVEYOR", "AppVeyor"),
    ("SEMAPHORE", "Semaphore"),
    ("CIRRUS_CI", "Cirrus CI"),
    ("WOODPECKER_CI", "Woodpecker CI"),
    ("bamboo_buildKey", "Bamboo"),
    ("bamboo_planKey", "Bamboo"),
    ("GO_PIPELINE_NAME", "GoCD"),
    ("GO_SERVER_URL", "GoCD"),
    ("CF_BUILD_ID", "Codefresh"),
    ("HARNESS_BUILD_ID", "Harness"),
    ("GITEA_ACTIONS", "Gitea Actions"),
    ("FORGEJO_ACTIONS", "Forgejo Actions"),
    ("CONTINUOUS_INTEGRATION", "a CI system"),
    ("BUILD_NUMBER", "a CI system"),
    ("CI_NAME", "a CI system"),
    (CI, "a CI system"),
];
/// Any value but empty, `0` or `false` says that a CI system runs this: nothing is asked then. Most systems set it.
pub const CI: &str = "CI";
/// `1` on a runner with debug logging.
pub const RUNNER_DEBUG: &str = "RUNNER_DEBUG";
/// Any non-empty value switches colours off. Source: no-color.org.
pub const NO_COLOR: &str = "NO_COLOR";
/// Any value but empty or `0` switches colours on.
pub const FORCE_COLOR: &str = "FORCE_COLOR";
/// Where temporary files go. Default: the system's directory for them.
pub const TMPDIR: &str = "TMPDIR";
/// Executable search path.
pub const PATH: &str = "PATH";
/// The user's home directory.
pub const HOME: &str = "HOME";
/// Base of user caches. Source: XDG Base Directory specification.
pub const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";

/// A file of credentials for registries. Source of it and the next two: podman, `containers-auth.json`.
pub const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// Files of the session: `containers/auth.json` in it has credentials for registries.
pub const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
/// Directory of Docker's `config.json`, which has credentials for registries. Default: `~/.docker`.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";

/// Variables with tokens of this run and the runner. They are masked in the log, and only a cloning git gets them.
pub const SECRETS: &[&str] = &[
    "DAGSTER_CLOUD_API_TOKEN",
    "INPUT_DAGSTER_CLOUD_API_TOKEN",
    "INPUT_GITHUB_TOKEN",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "CI_JOB_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    ACTIONS_ID_TOKEN_REQUEST_TOKEN,
    PEXPRESS_REGISTRY_PASSWORD,
    "INPUT_REGISTRY_PASSWORD",
];

/// Where a job asks GitHub for its identity token; set with `permissions: id-token: write`. Source: GitHub's manual,
/// "OpenID Connect reference".
pub const ACTIONS_ID_TOKEN_REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
/// The right to ask there.
pub const ACTIONS_ID_TOKEN_REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// Certificate authorities to trust in addition to the system's: a PEM file. Source: OpenSSL.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// The same as directories of PEM files, separated as in `PATH`. Source: OpenSSL.
pub const SSL_CERT_DIR: &str = "SSL_CERT_DIR";
/// A PEM file of certificate authorities. Source: pip.
pub const PIP_CERT: &str = "PIP_CERT";
/// A PEM file, or directory, of certificate authorities. Source: Python's requests.
pub const REQUESTS_CA_BUNDLE: &str = "REQUESTS_CA_BUNDLE";
/// A PEM file of certificate authorities. Source: curl, requests.
pub const CURL_CA_BUNDLE: &str = "CURL_CA_BUNDLE";
/// Hosts without certificate checks, to which credentials may be sent unencrypted. Source: uv.
pub const UV_INSECURE_HOST: &str = "UV_INSECURE_HOST";
/// The same. Source: pip.
pub const PIP_TRUSTED_HOST: &str = "PIP_TRUSTED_HOST";
/// Proxy for https URLs. Source of the proxy variables: curl.
pub const HTTPS_PROXY: &str = "HTTPS_PROXY";
/// Its lower-case name, which takes precedence.
pub const HTTPS_PROXY_LOWER: &str = "https_proxy";
/// Proxy for http URLs.
pub const HTTP_PROXY: &str = "HTTP_PROXY";
/// Its lower-case name.
pub const HTTP_PROXY_LOWER: &str = "http_proxy";
/// Proxy for schemes without their own.
pub const ALL_PROXY: &str = "ALL_PROXY";
/// Its lower-case name.
pub const ALL_PROXY_LOWER: &str = "all_proxy";
/// Hosts, `host:port`, addresses and networks to reach directly, separated by commas.
pub const NO_PROXY: &str = "NO_PROXY";
/// Its lower-case name.
pub const NO_PROXY_LOWER: &str = "no_proxy";
/// The netrc file, instead of `~/.netrc`.
pub const NETRC: &str = "NETRC";
/// Package indexes, `URL` or `NAME=URL`, separated by spaces. Source of uv's variables: uv, "Environment variables".
pub const UV_INDEX: &str = "UV_INDEX";
/// Configuration file that uv reads instead of its own search.
pub const UV_CONFIG_FILE: &str = "UV_CONFIG_FILE";
/// Makes uv ask indexes again instead of using its cache.
pub const UV_REFRESH: &str = "UV_REFRESH";
/// Turns off uv's cache.
pub const UV_NO_CACHE: &str = "UV_NO_CACHE";
/// Prefix of `UV_INDEX_NAME_USERNAME` and `UV_INDEX_NAME_PASSWORD`.
pub const UV_INDEX_PREFIX: &str = "UV_INDEX_";
/// The default package index.
pub const UV_DEFAULT_INDEX: &str = "UV_DEFAULT_INDEX";
/// The default package index, under its older name.
pub const UV_INDEX_URL: &str = "UV_INDEX_URL";
/// Additional package indexes, under the older name.
pub const UV_EXTRA_INDEX_URL: &str = "UV_EXTRA_INDEX_URL";
/// Pages and directories with distributions.
pub const UV_FIND_LINKS: &str = "UV_FIND_LINKS";
/// Makes uv build every package.
pub const UV_NO_BINARY: &str = "UV_NO_BINARY";
/// Packages that uv builds from source.
pub const UV_NO_BINARY_PACKAGE: &str = "UV_NO_BINARY_PACKAGE";
/// Makes uv build no package.
pub const UV_NO_BUILD: &str = "UV_NO_BUILD";
/// Packages that uv does not build.
pub const UV_NO_BUILD_PACKAGE: &str = "UV_NO_BUILD_PACKAGE";
/// Makes uv ignore `tool.uv.sources`.
pub const UV_NO_SOURCES: &str = "UV_NO_SOURCES";
/// Packages for which uv ignores `tool.uv.sources`.
pub const UV_NO_SOURCES_PACKAGE: &str = "UV_NO_SOURCES_PACKAGE";
/// Files of constraints.
pub const UV_CONSTRAINT: &str = "UV_CONSTRAINT";
/// Files of overrides.
pub const UV_OVERRIDE: &str = "UV_OVERRIDE";
/// Whether uv exports the group `dev`.
pub const UV_DEV: &str = "UV_DEV";
/// Whether uv leaves out the group `dev`.
pub const UV_NO_DEV: &str = "UV_NO_DEV";
/// Groups that uv leaves out.
pub const UV_NO_GROUP: &str = "UV_NO_GROUP";
/// Number of parallel downloads.
pub const UV_CONCURRENT_DOWNLOADS: &str = "UV_CONCURRENT_DOWNLOADS";
/// The default package index. Source of pip's variables: pip, "Configuration".
pub const PIP_INDEX_URL: &str = "PIP_INDEX_URL";
/// Additional package indexes.
pub const PIP_EXTRA_INDEX_URL: &str = "PIP_EXTRA_INDEX_URL";
/// Pages and directories with distributions.
pub const PIP_FIND_LINKS: &str = "PIP_FIND_LINKS";
/// Files with constraints.
pub const PIP_CONSTRAINT: &str = "PIP_CONSTRAINT";
/// A true value: no index is asked, only `PIP_FIND_LINKS`.
pub const PIP_NO_INDEX: &str = "PIP_NO_INDEX";
/// Packages that are built from source, or `:all:`.
pub const PIP_NO_BINARY: &str = "PIP_NO_BINARY";
/// Packages that are never built from source, or `:all:`.
pub const PIP_ONLY_BINARY: &str = "PIP_ONLY_BINARY";
/// Address of a proxy.
pub const PIP_PROXY: &str = "PIP_PROXY";
/// pip's configuration file. Source: pip's user guide, "Configuration".
pub const PIP_CONFIG_FILE: &str = "PIP_CONFIG_FILE";
/// Base of system-wide configuration. Source: XDG Base Directory specification.
pub const XDG_CONFIG_DIRS: &str = "XDG_CONFIG_DIRS";
/// Base of user configuration. Source: XDG Base Directory specification.
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// The active virtual environment. Source: Python's `venv`.
pub const VIRTUAL_ENV: &str = "VIRTUAL_ENV";
/// pyenv's directory. Default: `~/.pyenv`.
pub const PYENV_ROOT: &str = "PYENV_ROOT";
/// Tools on a GitHub runner. Source: GitHub's manual, "Variables reference".
pub const RUNNER_TOOL_CACHE: &str = "RUNNER_TOOL_CACHE";
/// The same under its older name, which hosted images also set.
pub const AGENT_TOOLSDIRECTORY: &str = "AGENT_TOOLSDIRECTORY";
/// Directory of the Pythons that uv manages. Source: uv, "Environment variables".
pub const UV_PYTHON_INSTALL_DIR: &str = "UV_PYTHON_INSTALL_DIR";
/// Base of user data. Source: XDG Base Directory specification.
pub const XDG_DATA_HOME: &str = "XDG_DATA_HOME";

/// Address of the organization, or of one of its deployments. Source of Dagster+'s variables: dagster-cloud-cli.
pub const DAGSTER_CLOUD_URL: &str = "DAGSTER_CLOUD_URL";
/// Name of the organization, the first part of its host name.
pub const DAGSTER_CLOUD_ORGANIZATION: &str = "DAGSTER_CLOUD_ORGANIZATION";
/// Name of the deployment.
pub const DAGSTER_CLOUD_DEPLOYMENT: &str = "DAGSTER_CLOUD_DEPLOYMENT";
/// User or agent token.
pub const DAGSTER_CLOUD_API_TOKEN: &str = "DAGSTER_CLOUD_API_TOKEN";
/// Part of the host name between organization and domain, such as `eu`.
pub const DAGSTER_CLOUD_ENV: &str = "DAGSTER_CLOUD_ENV";
/// Seconds to wait for code locations to load.
pub const DAGSTER_CLOUD_LOCATION_LOAD_TIMEOUT: &str = "DAGSTER_CLOUD_LOCATION_LOAD_TIMEOUT";
/// Seconds to wait for a running agent.
pub const DAGSTER_CLOUD_AGENT_HEARTBEAT_TIMEOUT: &str = "DAGSTER_CLOUD_AGENT_HEARTBEAT_TIMEOUT";
/// Any value: use PEX files although the organization's registry reports that they cannot run.
pub const DAGSTER_CLOUD_DISABLE_PEX_DOCKER_REDIRECT: &str = "DAGSTER_CLOUD_DISABLE_PEX_DOCKER_REDIRECT";
/// Image to run PEX files on.
pub const SERVERLESS_BASE_IMAGE: &str = "SERVERLESS_BASE_IMAGE";
/// Tag of the image, in the organization's registry, to run PEX files on.
pub const SERVERLESS_BASE_IMAGE_TAG: &str = "SERVERLESS_BASE_IMAGE_TAG";
/// Name of the event that started the run. Source of GitHub's variables: "Variables reference" of GitHub Actions.
pub const GITHUB_EVENT_NAME: &str = "GITHUB_EVENT_NAME";
/// File with the event payload.
pub const GITHUB_EVENT_PATH: &str = "GITHUB_EVENT_PATH";
/// Commit of the run. In a pull request it is a temporary merge commit, not a commit that users know.
pub const GITHUB_SHA: &str = "GITHUB_SHA";
/// Git reference of the run.
pub const GITHUB_REF: &str = "GITHUB_REF";
/// `owner/name`.
pub const GITHUB_REPOSITORY: &str = "GITHUB_REPOSITORY";
/// Address of the web pages.
pub const GITHUB_SERVER_URL: &str = "GITHUB_SERVER_URL";
/// Address of the REST API.
pub const GITHUB_API_URL: &str = "GITHUB_API_URL";
/// Token for that API.
pub const GITHUB_TOKEN: &str = "GITHUB_TOKEN";
/// Who started the run.
pub const GITHUB_ACTOR: &str = "GITHUB_ACTOR";
/// File to append outputs to.
pub const GITHUB_OUTPUT: &str = "GITHUB_OUTPUT";
/// File to append the step summary to.
pub const GITHUB_STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// Number of the run of a workflow, from 1.
pub const GITHUB_RUN_NUMBER: &str = "GITHUB_RUN_NUMBER";
/// Set in merge request pipelines. Source: GitLab, "Predefined CI/CD variables".
pub const CI_MERGE_REQUEST_IID: &str = "CI_MERGE_REQUEST_IID";
/// Number of parallel builds of source distributions. Source: uv.
pub const UV_CONCURRENT_BUILDS: &str = "UV_CONCURRENT_BUILDS";
/// A token for GitHub, read by the GitHub CLI and its credential helper.
pub const GH_TOKEN: &str = "GH_TOKEN";
/// The same for GitHub Enterprise Server.
pub const GH_ENTERPRISE_TOKEN: &str = "GH_ENTERPRISE_TOKEN";
/// The same.
pub const GITHUB_ENTERPRISE_TOKEN: &str = "GITHUB_ENTERPRISE_TOKEN";
/// The organization, in workflows for Dagster+'s own action.
pub const ORGANIZATION_ID: &str = "ORGANIZATION_ID";
/// A directory that is emptied after each job.
pub const RUNNER_TEMP: &str = "RUNNER_TEMP";
/// Id of the run of a workflow, the same in all its jobs and attempts.
pub const GITHUB_RUN_ID: &str = "GITHUB_RUN_ID";
/// Number of the attempt of a run, from 1.
pub const GITHUB_RUN_ATTEMPT: &str = "GITHUB_RUN_ATTEMPT";
/// Name of the workflow.
pub const GITHUB_WORKFLOW: &str = "GITHUB_WORKFLOW";
/// Path and reference of the workflow file: `owner/name/.github/workflows/FILE@REF`.
pub const GITHUB_WORKFLOW_REF: &str = "GITHUB_WORKFLOW_REF";
/// Name of the job in the workflow file.
pub const GITHUB_JOB: &str = "GITHUB_JOB";
/// Where the repository was checked out.
pub const GITHUB_WORKSPACE: &str = "GITHUB_WORKSPACE";
/// Id of the step in its job, generated if the workflow has none.
pub const GITHUB_ACTION: &str = "GITHUB_ACTION";

/// Whether a variable has a token of Dagster+, GitHub or the runner.
pub fn is_token(name: &str) -> bool {
    SECRETS.contains(&name)
        || (name.contains("TOKEN")
            && ["DAGSTER_", "ACTIONS_", "INPUT_"].iter().any(|start| name.starts_with(start)))
}
