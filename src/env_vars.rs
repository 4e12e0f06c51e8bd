//! Every environment variable that this program reads or writes, one documented constant each.

/// Path of the `uv` executable to use instead of a found or fetched one.
pub const PEXPRESS_UV: &str = "PEXPRESS_UV";
/// Directory for everything cached (wheels, uv, environments). Default: `XDG_CACHE_HOME/pexpress`, `~/.cache/pexpress`.
pub const PEXPRESS_CACHE_DIR: &str = "PEXPRESS_CACHE_DIR";
/// Set to `true` by GitHub's runner.
pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";
/// Set to `true` by most CI systems.
pub const CI: &str = "CI";
/// `1` on a runner whose user asked for debug logs.
pub const RUNNER_DEBUG: &str = "RUNNER_DEBUG";
/// Any non-empty value switches colours off. Source: no-color.org.
pub const NO_COLOR: &str = "NO_COLOR";
/// Any value but empty or `0` switches colours on.
pub const FORCE_COLOR: &str = "FORCE_COLOR";
/// Executable search path.
pub const PATH: &str = "PATH";
/// The user's home directory.
pub const HOME: &str = "HOME";
/// Base of user caches. Source: XDG Base Directory specification.
pub const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";

/// Variables that hold secrets which no child process of ours needs; they are removed from every child's environment.
pub const SECRETS: &[&str] = &[
    "DAGSTER_CLOUD_API_TOKEN",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
];
