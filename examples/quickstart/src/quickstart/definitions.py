"""What Dagster+ loads: `defs`."""

from dagster import Definitions, ScheduleDefinition, define_asset_job

from quickstart.assets import temperatures, warmest_day

refresh = define_asset_job("refresh", selection=[temperatures, warmest_day])

defs = Definitions(
    assets=[temperatures, warmest_day],
    jobs=[refresh],
    schedules=[ScheduleDefinition(job=refresh, cron_schedule="0 6 * * *")],
)
