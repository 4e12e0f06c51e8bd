//! Integration libraries that are released together with dagster, with their own version numbers.
//!
//! Today each pins dagster exactly. Releases of 2021 and before accept any dagster, so a limit such as
//! `dagster-aws<0.29.27` next to `dagster==1.13.27` resolves to dagster-aws 0.11.14. Community libraries have other
//! numbers and are not listed. Source: the libraries with a release 0.29.27, without those that started with other
//! numbers.

/// Whether this is one of them.
pub fn is_library(name: &str) -> bool {
    LIBRARIES.binary_search(&name).is_ok()
}

/// All of them, sorted.
pub const LIBRARIES: [&str; 61] = [
    "dagster-airbyte",
    "dagster-aws",
    "dagster-azure",
    "dagster-celery",
    "dagster-celery-docker",
    "dagster-celery-k8s",
    "dagster-census",
    "dagster-clickhouse",
    "dagster-clickhouse-pandas",
    "dagster-clickhouse-polars",
    "dagster-dask",
    "dagster-databricks",
    "dagster-datadog",
    "dagster-datahub",
    "dagster-dbt",
    "dagster-deltalake",
    "dagster-deltalake-pandas",
    "dagster-deltalake-polars",
    "dagster-dlt",
    "dagster-docker",
    "dagster-duckdb",
    "dagster-duckdb-pandas",
    "dagster-duckdb-polars",
    "dagster-duckdb-pyspark",
    "dagster-fivetran",
    "dagster-gcp",
    "dagster-gcp-pandas",
    "dagster-gcp-pyspark",
    "dagster-ge",
    "dagster-github",
    "dagster-hightouch",
    "dagster-k8s",
    "dagster-looker",
    "dagster-mlflow",
    "dagster-msteams",
    "dagster-mysql",
    "dagster-omni",
    "dagster-openai",
    "dagster-pagerduty",
    "dagster-pandas",
    "dagster-pandera",
    "dagster-papertrail",
    "dagster-polytomic",
    "dagster-postgres",
    "dagster-powerbi",
    "dagster-prefect",
    "dagster-prometheus",
    "dagster-pyspark",
    "dagster-sigma",
    "dagster-slack",
    "dagster-sling",
    "dagster-snowflake",
    "dagster-snowflake-pandas",
    "dagster-snowflake-polars",
    "dagster-snowflake-pyspark",
    "dagster-soda",
    "dagster-spark",
    "dagster-ssh",
    "dagster-tableau",
    "dagster-twilio",
    "dagstermill",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(LIBRARIES.is_sorted());
        assert!(is_library("dagster-aws") && is_library("dagstermill"));
        assert!(!is_library("dagster-polars") && !is_library("dagster"));
    }
}
