"""Jobs and their runs: launched, looked at, cancelled."""

from answers import union

ENDED = ("SUCCESS", "FAILURE", "CANCELED")


class Run:
    """One run, and the states that it goes through, one with each look."""

    def __init__(self, run_id, job, params, plan):
        self.run_id, self.job, self.params = run_id, job, params
        self.states = list(plan.get("states", ["STARTED", "SUCCESS"]))

    def move(self):
        if len(self.states) > 1:
            self.states.pop(0)

    def graphql(self):
        return union("Run", id=self.run_id, runId=self.run_id, jobName=self.job, status=self.states[0])


class RunRoot:
    """Resolvers about runs, for `Root`."""

    def _jobs(self, location):
        return self._service.config.get("jobs", {}).get(location, {"__repository__": ["__ASSET_JOB"]})

    def _repositories(self, location):
        """The repositories of a code location with their jobs, as the configuration says."""
        return [
            {"id": name, "name": name, "jobs": [{"id": job, "name": job} for job in jobs]}
            for name, jobs in self._jobs(location).items()
        ]

    def launchRun(self, executionParams):
        service, selector = self._service, executionParams["selector"]
        if self._key is None:
            service.violation("a run is launched without an idempotency key")
        if service.denied(self._deployment):
            return union("UnauthorizedError", message="the token may not launch runs here")
        if self._key in service.runs_by_key:
            return union("LaunchRunSuccess", run=service.runs_by_key[self._key].graphql())
        location, repository, job = (selector[f"{key}Name"] for key in ("repositoryLocation", "repository", "job"))
        there = self._deployment.locations.get(location)
        if there is None or job not in self._jobs(location).get(repository, []):
            return union(
                "PipelineNotFoundError",
                message=f"Could not find Pipeline {location}.{repository}.{job}",
                pipelineName=job,
                repositoryName=repository,
                repositoryLocationName=location,
            )
        plan = service.config.get("runs", {}).get(job, {})
        if plan.get("config_errors"):
            errors = [union("RuntimeMismatchConfigError", message=x, path=[]) for x in plan["config_errors"]]
            return union("RunConfigValidationInvalid", pipelineName=job, errors=errors)
        run = Run(f"00000000-0000-4000-8000-{next(service.numbers):012d}", job, executionParams, plan)
        service.runs[run.run_id] = service.runs_by_key[self._key] = run
        return union("LaunchRunSuccess", run=run.graphql())

    def runOrError(self, runId):
        run = self._service.runs.get(runId)
        if run is None:
            return union("RunNotFoundError", runId=runId, message=f"Pipeline run {runId} could not be found.")
        answer = run.graphql()
        run.move()
        return answer

    def terminateRun(self, runId, terminatePolicy=None):
        run = self._service.runs.get(runId)
        if run is None:
            return union("RunNotFoundError", runId=runId, message=f"Pipeline run {runId} could not be found.")
        if run.states[0] in ENDED:
            return union("TerminateRunFailure", run=run.graphql(), message=f"Run {runId} has ended")
        run.states = ["CANCELING", "CANCELED"]
        return union("TerminateRunSuccess", run=run.graphql())
